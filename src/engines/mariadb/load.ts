import type { Readable } from 'node:stream';
import { ForestayError } from '../../core/errors.ts';
import { untilAborted } from '../../pipeline/until-aborted.ts';
import { insertInPieces } from './large-row.ts';
import { readProgram } from './program-script.ts';
import type { Program } from './programs.ts';
import { ident, replaceName } from './quote.ts';
import { readScript } from './script.ts';
import type { Session } from './session.ts';

export interface LoadOptions {
  /** The schema that takes the tables, and that which they come from. */
  readonly schema: string;
  readonly source: string;
  readonly maxAllowedPacket: number;
  readonly signal: AbortSignal;
}

/**
 * What every script of mariadb-dump sets before it begins; the tables are checked by nobody while they come. Every statement
 * is committed by itself: larger transactions take longer (measured: a half more when a table is one).
 */
const settings = "SET SESSION foreign_key_checks = 0, unique_checks = 0, time_zone = '+00:00', sql_notes = 0";

/**
 * What is in a database was let in by somebody, under other settings maybe, and is not judged again. Not every server knows
 * all of these, or lets every user set them.
 */
const lenient = [
  // From MariaDB 10.11 on; tables with a history are written with it.
  'system_versioning_insert_history = 1',
  'check_constraint_checks = 0',
  'innodb_strict_mode = 0',
  // Otherwise a TIMESTAMP without a default gets one; the script names every default there is.
  'explicit_defaults_for_timestamp = 1',
  // What a MEMORY table may hold is settled when it is made.
  'max_heap_table_size = 18446744073709551615',
];

/**
 * Reads a backup to its end, runs what makes and fills tables in the schema, and resolves with its programs, which are not
 * made yet. The session is of no other use afterwards.
 */
export async function load(
  bytes: Readable,
  session: Session,
  { schema, source, maxAllowedPacket, signal }: LoadOptions,
): Promise<Program[]> {
  await session.query(`USE ${ident(schema)}`);
  await session.query(settings);
  // Dates that no calendar has would become zeros.
  await session.query("SET SESSION sql_mode = CONCAT(@@sql_mode, ',ALLOW_INVALID_DATES')");
  for (const setting of lenient) await session.query(`SET SESSION ${setting}`).catch(() => {});
  await session.speakBytes();
  const programs: Program[] = [];
  for await (const part of readScript(untilAborted(bytes, signal))) {
    switch (part.kind) {
      case 'rows':
        if (part.sql.length + packetOverhead > maxAllowedPacket)
          await insertInPieces(session, part.sql, maxAllowedPacket);
        else await session.query(part.sql);
        break;
      case 'table':
        await session.query(withOwnSequences(creatable(part.sql), source, schema));
        break;
      case 'sequence':
      case 'value':
        await session.query(part.sql);
        break;
      case 'program line': {
        const program = readProgram(part.line);
        if (program) programs.push(program);
        break;
      }
      default:
        part satisfies never;
    }
  }
  return programs;
}

const packetOverhead = 1024;

/** Options of tables that say of a table with rows what cannot be said of one without, or beside the one that it replaces. */
function creatable(sql: string): string {
  // ARCHIVE takes no rows below its next number, and finds that by itself.
  const numbered = sql.replace(/(\n\) ENGINE=ARCHIVE) AUTO_INCREMENT=\d+/i, '$1');
  // Files of MyISAM and Aria bear the name of the table only, so that a second one cannot lie in the same folder.
  return /\n\) ENGINE=(?:MyISAM|Aria)\b/i.test(numbered)
    ? numbered.replace(/(?: (?:DATA|INDEX) DIRECTORY='(?:[^'\\]|\\.|'')*')+$/, '')
    : numbered;
}

export const latin1 = (text: string): string => Buffer.from(text).toString('latin1');

/** Defaults that take numbers from a sequence name its schema; as long as they are staged, that is the staging one. */
function withOwnSequences(sql: string, source: string, schema: string): string {
  if (!/\b(?:next|last)val\(/i.test(sql)) return sql;
  return replaceName(
    sql,
    `\`${latin1(source).replaceAll('`', '``')}\``,
    latin1(ident(schema)),
    (before, after) => before.endsWith('(') && after.startsWith('.'),
  );
}

/** A tool that only says it succeeded must not empty the instance. */
export function refuseIncomplete(
  found: { readonly tables: number; readonly programs: number },
  said: { readonly tables: number; readonly programs: number },
): void {
  // A table may have come or gone between the count and the dump, but not all of them.
  if ((said.tables === 0 || found.tables > 0) && found.programs === said.programs) return;
  throw new ForestayError('IncompatibleBackup', 'The backup does not hold what it says it holds.', {
    hint: 'Use another backup. Nothing was changed.',
  });
}
