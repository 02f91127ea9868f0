/**
 * Restoring into the database itself, for roles that can build nothing beside it: everything the role may drop is dropped
 * and built anew in one transaction. What ends before its COMMIT, for whatever reason, has changed nothing.
 */

/** Waiting longer than this for the locks of other sessions makes the restore fail. */
const lockTimeoutMs = 60_000;

/** Begins the transaction and empties the database as far as the role may. */
export const inPlacePrologue = `BEGIN;
SET LOCAL lock_timeout = ${lockTimeoutMs};
SET LOCAL client_min_messages = error;
SET LOCAL search_path = pg_catalog, pg_temp;
DO $forestay$
DECLARE
  me oid := (SELECT oid FROM pg_roles WHERE rolname = current_user);
  item record;
  statements text[];
  statement text;
BEGIN
  -- Dropping must not remove what could not be made again: extensions of others stay, and so do their schemas.
  FOR item IN SELECT pubname FROM pg_publication WHERE pubowner = me LOOP
    EXECUTE format('DROP PUBLICATION %I', item.pubname);
  END LOOP;
  FOR item IN SELECT e.extname FROM pg_extension e
      JOIN pg_available_extension_versions v ON v.name = e.extname AND v.version = e.extversion
      WHERE e.extowner = me AND e.extname <> 'plpgsql'
        AND (NOT v.superuser OR (to_jsonb(v) ->> 'trusted')::boolean) LOOP
    EXECUTE format('DROP EXTENSION IF EXISTS %I CASCADE', item.extname);
  END LOOP;
  FOR item IN SELECT n.nspname FROM pg_namespace n
      WHERE pg_has_role(n.nspowner, 'USAGE') AND n.nspname <> 'public' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
        AND NOT EXISTS (SELECT FROM pg_extension e WHERE e.extnamespace = n.oid)
        AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_namespace'::regclass AND d.objid = n.oid AND d.deptype = 'e') LOOP
    EXECUTE format('DROP SCHEMA %I CASCADE', item.nspname);
  END LOOP;
  -- Two kinds have another name there than in SQL.
  SELECT array_agg(format('DROP %s IF EXISTS %s CASCADE', CASE i.type WHEN 'statistics object' THEN 'statistics'
      WHEN 'foreign-data wrapper' THEN 'foreign data wrapper' ELSE i.type END, i.identity)) INTO statements FROM (
    SELECT 'pg_class'::regclass::oid AS classid, oid, relnamespace AS namespace, relowner AS owner FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
    UNION ALL SELECT 'pg_proc'::regclass, oid, pronamespace, proowner FROM pg_proc
    UNION ALL SELECT 'pg_type'::regclass, t.oid, typnamespace, typowner FROM pg_type t
      WHERE typtype IN ('b', 'e', 'd', 'r') AND NOT EXISTS (SELECT FROM pg_type a WHERE a.typarray = t.oid)
        OR typtype = 'c' AND EXISTS (SELECT FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind = 'c')
    UNION ALL SELECT 'pg_operator'::regclass, oid, oprnamespace, oprowner FROM pg_operator
    UNION ALL SELECT 'pg_opclass'::regclass, oid, opcnamespace, opcowner FROM pg_opclass
    UNION ALL SELECT 'pg_opfamily'::regclass, oid, opfnamespace, opfowner FROM pg_opfamily
    UNION ALL SELECT 'pg_collation'::regclass, oid, collnamespace, collowner FROM pg_collation
    UNION ALL SELECT 'pg_conversion'::regclass, oid, connamespace, conowner FROM pg_conversion
    UNION ALL SELECT 'pg_ts_dict'::regclass, oid, dictnamespace, dictowner FROM pg_ts_dict
    UNION ALL SELECT 'pg_ts_config'::regclass, oid, cfgnamespace, cfgowner FROM pg_ts_config
    UNION ALL SELECT 'pg_statistic_ext'::regclass, oid, stxnamespace, stxowner FROM pg_statistic_ext
    UNION ALL SELECT 'pg_foreign_server'::regclass, oid, NULL, srvowner FROM pg_foreign_server
    UNION ALL SELECT 'pg_foreign_data_wrapper'::regclass, oid, NULL, fdwowner FROM pg_foreign_data_wrapper
  ) o CROSS JOIN LATERAL pg_identify_object(o.classid, o.oid, 0) i
  WHERE o.oid >= 16384 AND pg_has_role(o.owner, 'USAGE')
    AND NOT EXISTS (SELECT FROM pg_namespace n WHERE n.oid = o.namespace AND n.nspname ~ '^pg_(toast|temp)')
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = o.classid AND d.objid = o.oid AND d.deptype IN ('e', 'i')
      -- A partitioned table depends on its own key.
      AND (d.refclassid, d.refobjid) <> (d.classid, d.objid));
  FOREACH statement IN ARRAY coalesce(statements, '{}') LOOP
    EXECUTE statement;
  END LOOP;
  -- public stays, so it must be made what a new one is: a dump has only what differs from that.
  IF EXISTS (SELECT FROM pg_namespace WHERE nspname = 'public' AND pg_has_role(nspowner, 'USAGE')) THEN
    COMMENT ON SCHEMA public IS 'standard public schema';
    FOR item IN SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS grantee
        FROM pg_namespace n CROSS JOIN LATERAL aclexplode(n.nspacl) a WHERE n.nspname = 'public' LOOP
      EXECUTE format('REVOKE ALL ON SCHEMA public FROM %s CASCADE', item.grantee);
    END LOOP;
    -- What its first owner had, who was the grantor, its owner has.
    FOR item IN SELECT CASE a.grantee WHEN 0 THEN 'PUBLIC' WHEN a.grantor THEN n.nspowner::regrole::text ELSE a.grantee::regrole::text END AS grantee,
          a.privilege_type AS privilege
        FROM pg_init_privs i JOIN pg_namespace n ON n.oid = i.objoid CROSS JOIN LATERAL aclexplode(i.initprivs) a
        WHERE i.classoid = 'pg_namespace'::regclass AND n.nspname = 'public' LOOP
      EXECUTE format('GRANT %s ON SCHEMA public TO %s', item.privilege, item.grantee);
    END LOOP;
  END IF;
  PERFORM lo_unlink(oid) FROM pg_largeobject_metadata WHERE pg_has_role(lomowner, 'USAGE');
  -- Default privileges would be added to what the dump says of the new objects.
  FOR item IN SELECT d.defaclrole::regrole AS role, n.nspname,
        CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS'
          WHEN 'T' THEN 'TYPES' WHEN 'n' THEN 'SCHEMAS' WHEN 'L' THEN 'LARGE OBJECTS' END AS objects,
        d.defaclobjtype AS objtype, a.grantee, a.grantee::regrole AS grantee_name
      FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace
        CROSS JOIN LATERAL (SELECT DISTINCT grantee FROM aclexplode(d.defaclacl)) a
      WHERE pg_has_role(d.defaclrole, 'USAGE') LOOP
    EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %s %s REVOKE ALL ON %s FROM %s', item.role,
      CASE WHEN item.nspname IS NULL THEN '' ELSE format('IN SCHEMA %I', item.nspname) END, item.objects,
      CASE item.grantee WHEN 0 THEN 'PUBLIC' ELSE item.grantee_name::text END);
  END LOOP;
  FOR item IN SELECT d.defaclrole::regrole AS role, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS grantee,
        a.privilege_type AS privilege,
        CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS'
          WHEN 'T' THEN 'TYPES' WHEN 'n' THEN 'SCHEMAS' WHEN 'L' THEN 'LARGE OBJECTS' END AS objects
      FROM pg_default_acl d
        CROSS JOIN LATERAL aclexplode(acldefault(CASE d.defaclobjtype WHEN 'S' THEN 's' ELSE d.defaclobjtype END, d.defaclrole)) a
      WHERE pg_has_role(d.defaclrole, 'USAGE') AND d.defaclnamespace = 0 LOOP
    EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %s GRANT %s ON %s TO %s', item.role, item.privilege, item.objects, item.grantee);
  END LOOP;
END
$forestay$;
`;

/**
 * Tells on stderr, which comes back in order, that everything before it succeeded, and which transaction it was; whether
 * that one was committed can then be asked from outside.
 */
export function checkpoint(mark: string): string {
  return `SET LOCAL client_min_messages = warning;
DO $forestay$ BEGIN RAISE WARNING '${mark}-%', txid_current(); END $forestay$;
`;
}
