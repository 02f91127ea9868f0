import { ForestayError } from '../../core/errors.ts';
import type { Target } from './connection.ts';
import type { Table } from './details.ts';
import type { Place } from './place.ts';
import { ident, qualified } from './quote.ts';
import { type Session, selectLimitAtFirst } from './session.ts';

/**
 * Refuses what mariadb-dump would leave out or write otherwise than it is, where only a look at the database tells. Throws
 * `InstanceRefused`.
 */
export async function refuseWhatIsNotKept(
  session: Session,
  { database }: Target,
  { flavor }: Place,
  tables: readonly Table[],
): Promise<void> {
  await refuseSelectLimit(session);
  refuseElsewhere(tables);
  await refuseNumberedHistory(session, database);
  // It is MariaDB that keeps definitions in three bytes a character.
  if (flavor === 'MariaDB') await refuseLostCharacters(session, database);
}

/** The tool's session has the limit, too, and says nothing of the rows it then does not get. */
async function refuseSelectLimit(session: Session): Promise<void> {
  const [row] = await session.query<{ limited: number }>(
    `SELECT ${selectLimitAtFirst} < 18446744073709551615 AS limited`,
  );
  if (Number(row?.limited) === 0) return;
  refuse(
    'The server gives new sessions a limit of rows (sql_select_limit), so a backup would lack rows and tables.',
    'SET GLOBAL sql_select_limit = 18446744073709551615, and look at init_connect; set the limit in the sessions that need it.',
  );
}

/** Their rows are not in the database. */
const elsewhere: ReadonlySet<string> = new Set(['MRG_MYISAM', 'FEDERATED', 'CONNECT', 'SPIDER', 'S3']);

function refuseElsewhere(tables: readonly Table[]): void {
  const found = tables.filter(({ engine }) => engine !== null && elsewhere.has(engine.toUpperCase()));
  if (found.length === 0) return;
  refuse(
    `Tables whose rows lie elsewhere cannot be backed up: ${some(found.map(({ name, engine }) => `${name} (${engine})`))}.`,
    'Move them to another database.',
  );
}

/** The numbers of transactions mean nothing on another server, and the tool refuses such tables in the middle of its work. */
async function refuseNumberedHistory(session: Session, database: string): Promise<void> {
  const found = await session.query<{ name: string }>(
    `SELECT DISTINCT TABLE_NAME AS name FROM information_schema.COLUMNS
     WHERE TABLE_SCHEMA = ? AND DATA_TYPE = 'bigint' AND GENERATION_EXPRESSION = 'ROW START' ORDER BY 1`,
    [database],
  );
  if (found.length === 0) return;
  refuse(
    `Versioned tables with numbers of transactions cannot be backed up: ${some(found.map(({ name }) => name))}.`,
    'Version them by time (ROW START and ROW END as TIMESTAMP(6)), or move them to another database.',
  );
}

interface Column {
  readonly table: string;
  readonly column: string;
  readonly type: string;
  /** As an expression; null where there is none. */
  readonly value: string | null;
}

/**
 * `SHOW CREATE TABLE` has `?` for characters of four bytes (emoji) in the values of ENUM and SET and in defaults; rows with
 * such a value come back empty. Which question marks are none, the server can tell.
 */
async function refuseLostCharacters(session: Session, database: string): Promise<void> {
  const doubtful = await session.query<Column>(
    `SELECT c.TABLE_NAME AS \`table\`, c.COLUMN_NAME AS \`column\`, c.COLUMN_TYPE AS type, c.COLUMN_DEFAULT AS value
     FROM information_schema.COLUMNS c JOIN information_schema.TABLES t USING (TABLE_SCHEMA, TABLE_NAME)
     WHERE c.TABLE_SCHEMA = ? AND t.TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED')
       AND c.CHARACTER_SET_NAME IN ('utf8mb4', 'utf16', 'utf16le', 'utf32')
       AND (LOCATE('?', c.COLUMN_TYPE) > 0 OR (LEFT(c.COLUMN_DEFAULT, 1) = '''' AND LOCATE('?', c.COLUMN_DEFAULT) > 0))
     ORDER BY c.TABLE_NAME, c.ORDINAL_POSITION`,
    [database],
  );
  const lost: string[] = [];
  for (const column of doubtful)
    if ((await textsOf(session, database, column)).some((text) => /[\u{10000}-\u{10ffff}]/u.test(text)))
      lost.push(`${column.table}.${column.column}`);
  if (lost.length === 0) return;
  refuse(
    `ENUM, SET or DEFAULT with characters of four bytes (emoji) cannot be backed up, as the server itself shows "?" for them: ${some(lost)}.`,
    "Make the column a VARCHAR, or the default an expression: DEFAULT (CONCAT('…')).",
  );
}

/** The true texts behind those with question marks. */
async function textsOf(
  session: Session,
  database: string,
  { table, column, type, value }: Column,
): Promise<string[]> {
  const name = qualified('t', column);
  const texts: (string | null | undefined)[] = [];
  if (value?.includes('?')) {
    const [row] = await session.query<{ text: string | null }>(
      `SELECT CONVERT(DEFAULT(${name}) USING utf8mb4) AS text
       FROM (SELECT 1 AS a) x LEFT JOIN ${qualified(database, table)} t ON FALSE`,
    );
    texts.push(row?.text);
  }
  const isSet = /^set\(/i.test(type);
  const members = /^(?:enum|set)\(/i.test(type) ? (type.match(/'(?:[^']|'')*'/g) ?? []) : [];
  for (const [index, member] of members.entries()) {
    if (!member.includes('?')) continue;
    const number = isSet ? 2n ** BigInt(index) : BigInt(index + 1);
    // A variable of the column's type, as there may be no row with this value.
    await session.query(
      `BEGIN NOT ATOMIC DECLARE v TYPE OF ${qualified(database, table)}.${ident(column)} DEFAULT ${number};
       SET @forestay_text = CONVERT(v USING utf8mb4); END`,
    );
    const [row] = await session.query<{ text: string | null }>('SELECT @forestay_text AS text');
    texts.push(row?.text);
  }
  return texts.filter((text) => typeof text === 'string');
}

function some(names: readonly string[]): string {
  return names.slice(0, 5).join(', ');
}

function refuse(message: string, hint: string): never {
  throw new ForestayError('InstanceRefused', message, { hint });
}
