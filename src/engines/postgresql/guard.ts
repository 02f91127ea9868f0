import { randomBytes } from 'node:crypto';
import { dollarQuoted } from './quote.ts';
import { type ScriptPart, splitScript } from './script.ts';

/**
 * Statements of a dump that give objects to roles may fail where a role is not there, or may not be used by the one who
 * restores. They, and no others, are run under a guard that lets exactly these failures pass and reports each of them.
 */
export interface GuardOptions {
  /** Names of all roles of the destination. */
  readonly roles: ReadonlySet<string>;
  readonly isSuperuser: boolean;
  /** `server_version_num` of the destination. */
  readonly versionNumber: number;
  /** Within one transaction that somebody else begins and ends, among objects that may be there already. */
  readonly inPlace: boolean;
}

export interface Guard {
  /** The script to run instead. */
  rewrite(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer>;
  /** Takes note of what the guards report; give it every line psql writes to stderr. */
  readStderr(line: string): void;
  /** Statements that did not take effect, in the order of the script. */
  failures(): string[];
}

/** No right; no such role; grant options that cannot be given. */
const tolerated = 'insufficient_privilege OR undefined_object OR invalid_grant_operation';
/** And, of a sequence that belongs to a table: that it has the owner of the table, who could not be changed before. */
const toleratedOfOwners = `${tolerated} OR feature_not_supported`;

const name = '(?:"(?:[^"]|"")*"|[a-z_][a-z0-9_$]*)';
const owner = /^ALTER .* OWNER TO (?:"(?:[^"]|"")*"|[a-z_][a-z0-9_$]*);$/s;
const grant = /^(?:GRANT|REVOKE|ALTER DEFAULT PRIVILEGES) /;
const comment = /^COMMENT ON (?:EXTENSION|SCHEMA) /;
const mapping = new RegExp(`^CREATE USER MAPPING FOR (${name}) SERVER `);
const schema = new RegExp(`^CREATE SCHEMA (${name});$`);
const policy = new RegExp(
  `^(CREATE POLICY ${name} ON ${name}\\.${name}(?: AS RESTRICTIVE)?(?: FOR [A-Z]+)?) TO (${name}(?:, ${name})*)(?= |;)`,
);
const setAuthorization = /^SET SESSION AUTHORIZATION /;
const resetAuthorization = 'RESET SESSION AUTHORIZATION;';

export function createGuard(options: GuardOptions): Guard {
  const mark = `forestay-${randomBytes(8).toString('hex')}`;
  const report = new RegExp(`${mark}-(\\d+)-`);
  const guarded: string[] = [];
  const failed = new Set<number>();

  /** Tries one list of statements after the other, each as a whole. */
  const tryEach = (lists: string[][], mayFail = tolerated): Buffer => {
    const last = lists.at(-1) ?? [];
    const index = guarded.push(text(last.join(' '))) - 1;
    let body = `RAISE WARNING '${mark}-${index}-%', SQLSTATE;`;
    for (const list of lists.toReversed()) {
      const steps = list
        .map((statement) => `EXECUTE ${dollarQuoted(statement.replace(/;$/, ''))};`)
        .join(' ');
      body = `BEGIN ${steps} EXCEPTION WHEN ${mayFail} THEN ${body} END;`;
    }
    return Buffer.from(`DO ${dollarQuoted(`BEGIN ${body} END`)};`, 'latin1');
  };

  async function* rewrite(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    const deferred: Buffer[] = [];
    let authorized: string[] | undefined;
    for await (const { kind, bytes } of splitScript(source)) {
      if (!mayMatter({ kind, bytes })) {
        yield bytes;
        continue;
      }
      const statement = bytes.toString('latin1');
      if (authorized) {
        authorized.push(statement);
        if (statement !== resetAuthorization) continue;
        // Without the right to act as the grantor, the grant itself is what counts.
        yield tryEach([authorized, authorized.slice(1, -1)]);
        authorized = undefined;
      } else if (setAuthorization.test(statement)) authorized = [statement];
      else if (owner.test(statement)) {
        // Given away, an object could not be worked on any more; at the end nothing else will need it.
        const guarded = tryEach([[statement]], toleratedOfOwners);
        if (options.isSuperuser) yield guarded;
        else deferred.push(guarded);
      } else if (grant.test(statement) || comment.test(statement)) yield tryEach([[statement]]);
      else yield rewriteOne(statement) ?? bytes;
    }
    if (authorized) throw new Error('the script ends while it acts as another role');
    for (const statement of deferred) yield Buffer.concat([statement, Buffer.from('\n')]);
  }

  function rewriteOne(statement: string): Buffer | undefined {
    if (statement === 'SET transaction_timeout = 0;' && options.versionNumber < 170000)
      return Buffer.alloc(0);
    if (options.inPlace && /^(BEGIN|COMMIT);$/.test(statement)) return Buffer.alloc(0);
    if (options.inPlace && /^(ROLLBACK|START TRANSACTION|ABORT)\b[^']*;$/.test(statement)) {
      throw new Error('the script ends the transaction it runs in');
    }
    const schemaName = schema.exec(statement)?.[1];
    if (options.inPlace && schemaName !== undefined) return createUnlessThere(statement, schemaName);
    const mapped = mapping.exec(statement)?.[1];
    if (mapped !== undefined && !isKnown(mapped)) return tryEach([[statement]]);
    const [match, head, list] = policy.exec(statement) ?? [];
    if (match === undefined || head === undefined || list === undefined) return undefined;
    const roles = list.match(new RegExp(name, 'g')) ?? [];
    const known = roles.filter(isKnown);
    if (known.length === roles.length) return undefined;
    // A policy for a role that is not there concerns nobody.
    failed.add(guarded.push(text(statement)) - 1);
    if (known.length === 0) return Buffer.alloc(0);
    return Buffer.from(`${head} TO ${known.join(', ')}${statement.slice(match.length)}`, 'latin1');
  }

  const isKnown = (quoted: string) => {
    const plain = text(quoted.startsWith('"') ? quoted.slice(1, -1).replaceAll('""', '"') : quoted);
    return options.roles.has(plain) || /^(public|current_user|current_role|session_user)$/i.test(quoted);
  };

  return {
    rewrite,
    readStderr: (line) => {
      const index = report.exec(line)?.[1];
      if (index !== undefined) failed.add(Number(index));
    },
    failures: () => [...failed].sort((a, b) => a - b).map((index) => guarded[index] ?? ''),
  };
}

/** Most of a script is none of a guard's business: it is passed on without being made a string. */
function mayMatter({ kind, bytes }: ScriptPart): boolean {
  if (kind !== 'statement' || bytes.length > 1_000_000) return false;
  return /^(ALTER|GRANT|REVOKE|COMMENT|CREATE (SCHEMA|POLICY|USER)|SET|RESET|BEGIN|COMMIT|ROLLBACK|START|ABORT)\b/.test(
    bytes.toString('latin1', 0, 20),
  );
}

function createUnlessThere(statement: string, quoted: string): Buffer {
  const plain = quoted.startsWith('"') ? quoted.slice(1, -1).replaceAll('""', '"') : quoted;
  const there = `SELECT FROM pg_catalog.pg_namespace WHERE nspname = ${dollarQuoted(plain)}`;
  const body = `BEGIN IF NOT EXISTS (${there}) THEN EXECUTE ${dollarQuoted(statement)}; END IF; END`;
  return Buffer.from(`DO ${dollarQuoted(body)};`, 'latin1');
}

/** Statements are held as bytes (latin1); what people read is UTF-8. */
function text(latin1: string): string {
  return Buffer.from(latin1, 'latin1').toString('utf8');
}
