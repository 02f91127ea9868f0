import type { Session } from './session.ts';

/**
 * Functions that a restore is bound to fail with: it calls them (for an index, a generated column, a check, a materialised view)
 * with an empty search_path, as every program of PostgreSQL's does since CVE-2018-1058, and they name things without a schema.
 * Only bodies in SQL can be looked through; the server's own validator does it, and runs nothing.
 */
export async function readUnqualifiedFunctions(session: Session): Promise<string[]> {
  const used = await session.query<{ oid: string; name: string }>(usedSql);
  if (used.length === 0) return [];
  await session.query("SELECT set_config('check_function_bodies', 'on', false)");
  const found: string[] = [];
  try {
    for (const { oid, name } of used) {
      await session.query("SELECT pg_catalog.set_config('search_path', '', false)");
      if (await isValid(session, oid)) continue;
      // What is not right with a path either, some other reason keeps from being called.
      await session.query(
        "SELECT set_config('search_path', reset_val, false) FROM pg_settings WHERE name = 'search_path'",
      );
      if (await isValid(session, oid)) found.push(name);
    }
  } finally {
    await session.query("SELECT pg_catalog.set_config('search_path', '', false)");
  }
  return found;
}

async function isValid(session: Session, oid: string): Promise<boolean> {
  try {
    await session.query('SELECT pg_catalog.fmgr_sql_validator($1::pg_catalog.oid)', [oid]);
    return true;
  } catch (error) {
    // A function, table, type or column that is not found; whatever else it is, it is not the path.
    if (/^(42883|42P01|42704|42703)$/.test(String((error as { code?: unknown }).code))) return false;
    if (/^(42|22|0A)/.test(String((error as { code?: unknown }).code))) return true;
    throw error;
  }
}

const usedSql = `SELECT DISTINCT p.oid::text AS oid, p.oid::regprocedure::text AS name
  FROM pg_depend d JOIN pg_proc p ON d.refclassid = 'pg_proc'::regclass AND d.refobjid = p.oid
  WHERE p.prolang = (SELECT oid FROM pg_language WHERE lanname = 'sql') AND p.oid >= 16384
    AND to_jsonb(p) ->> 'prosqlbody' IS NULL
    AND NOT EXISTS (SELECT FROM unnest(p.proconfig) AS c(setting) WHERE c.setting LIKE 'search_path=%')
    AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid AND e.deptype = 'e')
    AND (d.classid = 'pg_class'::regclass AND EXISTS (SELECT FROM pg_index i WHERE i.indexrelid = d.objid AND i.indisvalid)
      OR d.classid = 'pg_constraint'::regclass AND EXISTS (SELECT FROM pg_constraint c WHERE c.oid = d.objid AND c.contype = 'c')
      OR d.classid = 'pg_attrdef'::regclass AND EXISTS (SELECT FROM pg_attrdef f
        JOIN pg_attribute a ON a.attrelid = f.adrelid AND a.attnum = f.adnum WHERE f.oid = d.objid AND a.attgenerated = 's')
      OR d.classid = 'pg_rewrite'::regclass AND EXISTS (SELECT FROM pg_rewrite r
        JOIN pg_class m ON m.oid = r.ev_class WHERE r.oid = d.objid AND m.relkind = 'm' AND m.relispopulated))
  ORDER BY 2 LIMIT 200`;
