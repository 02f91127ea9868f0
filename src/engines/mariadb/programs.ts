import { ForestayError } from '../../core/errors.ts';
import { account, ident, literal } from './quote.ts';
import type { Session } from './session.ts';

/** What runs in a database or is computed by it: everything that no table holds. */
export interface Program {
  readonly kind: ProgramKind;
  readonly name: string;
  /** The statement that makes it; of a trigger only what it does. */
  readonly text: string;
  readonly trigger?: {
    readonly table: string;
    readonly timing: string;
    readonly event: string;
    /** `user@host`; empty: whoever makes it. */
    readonly definer: string;
  };
  /** What the server had noted when it was made, and goes by when it runs. */
  readonly settings: ProgramSettings;
}

export interface ProgramSettings {
  readonly sqlMode: string;
  readonly client: string;
  readonly collation: string;
  readonly timeZone?: string;
}

export const programKinds = [
  'FUNCTION',
  'PROCEDURE',
  'PACKAGE',
  'PACKAGE BODY',
  'TRIGGER',
  'VIEW',
  'EVENT',
] as const;
export type ProgramKind = (typeof programKinds)[number];

/** All programs of a schema, in an order in which they can be made, except that views may need one another. */
export async function readPrograms(session: Session, schema: string): Promise<Program[]> {
  await session.query(`USE ${ident(schema)}`);
  return [
    ...(await readRoutines(session, schema)),
    ...(await readTriggers(session, schema)),
    ...(await readViews(session, schema)),
    ...(await readEvents(session, schema)),
  ];
}

async function readRoutines(session: Session, schema: string): Promise<Program[]> {
  const rows = await session.query<{ kind: ProgramKind; name: string }>(
    `SELECT ROUTINE_TYPE AS kind, ROUTINE_NAME AS name FROM information_schema.ROUTINES
     WHERE ROUTINE_SCHEMA = ? ORDER BY FIELD(ROUTINE_TYPE, 'FUNCTION', 'PROCEDURE', 'PACKAGE', 'PACKAGE BODY'), ROUTINE_NAME`,
    [schema],
  );
  const programs: Program[] = [];
  for (const { kind, name } of rows) {
    const [row = {}] = await session.query<Record<string, string | null>>(
      `SHOW CREATE ${kind} ${ident(name)}`,
    );
    const text = Object.entries(row).find(([column]) => /^Create /i.test(column))?.[1];
    if (text === null || text === undefined) {
      throw new ForestayError('InstanceRefused', `The user may not read the ${kind.toLowerCase()} ${name}.`, {
        hint: 'Give it SELECT on mysql.proc, or from MariaDB 11.3 on SHOW CREATE ROUTINE, or make it the definer.',
      });
    }
    programs.push({ kind, name, text, settings: settingsOf(row) });
  }
  return programs;
}

async function readTriggers(session: Session, schema: string): Promise<Program[]> {
  const rows = await session.query<Record<string, string>>(
    `SELECT TRIGGER_NAME AS name, EVENT_OBJECT_TABLE AS \`table\`, ACTION_TIMING AS timing, EVENT_MANIPULATION AS event,
            ACTION_STATEMENT AS statement, DEFINER AS definer
     FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = ?
     ORDER BY EVENT_OBJECT_TABLE, EVENT_MANIPULATION, ACTION_TIMING, ACTION_ORDER`,
    [schema],
  );
  const programs: Program[] = [];
  for (const { name = '', table = '', timing = '', event = '', statement = '', definer = '' } of rows) {
    const [row = {}] = await session.query<Record<string, string>>(`SHOW CREATE TRIGGER ${ident(name)}`);
    const original = row['SQL Original Statement'] ?? '';
    const text = bodyOf(original) ?? catalogued(name, statement);
    const trigger = { table, timing, event, definer: roleOf(original) ?? definer };
    programs.push({ kind: 'TRIGGER', name, text, trigger, settings: settingsOf(row) });
  }
  return programs;
}

const quotedName = '(?:`(?:[^`]|``)*`|"(?:[^"]|"")*"|[\\w$\\u0080-\\uffff]+)';
/** What may stand between words. */
const gap = '(?:\\s|/\\*(?:[^*]|\\*(?!/))*\\*/|#[^\\n]*\\n|--(?:[^\\S\\n][^\\n]*)?\\n)';
const dottedName = `${quotedName}(?:${gap}*\\.${gap}*${quotedName})?`;
const triggerHead = new RegExp(
  [
    `^CREATE DEFINER=${quotedName}(?:@${quotedName})? TRIGGER`,
    `(?:IF${gap}+NOT${gap}+EXISTS${gap}+)?${dottedName}`,
    '(?:BEFORE|AFTER)',
    '(?:INSERT|UPDATE|DELETE)',
    'ON',
    dottedName,
    'FOR',
    'EACH',
    `ROW(?:${gap}+(?:FOLLOWS|PRECEDES)${gap}+${quotedName})?(?=[\\s(/#-])`,
  ].join(`${gap}+`),
  'i',
);

/** What a trigger does, as it was written. */
function bodyOf(statement: string): string | undefined {
  const head = triggerHead.exec(statement)?.[0];
  return head === undefined ? undefined : statement.slice(head.length);
}

/** What the catalogue says instead. It lacks characters of four bytes, and backslashes. */
function catalogued(name: string, statement: string): string {
  if (/^\p{ASCII}*$/u.test(statement) && !/[\\?]/.test(statement)) return ` ${statement}`;
  throw new ForestayError('InstanceRefused', `What the trigger ${name} does cannot be told from its head.`, {
    hint: 'Make the trigger anew without comments and odd spellings before what it does, then try again.',
  });
}

const roleHead = new RegExp(`^CREATE DEFINER=(${quotedName}) TRIGGER`);

/** A definer that is a role: the catalogue makes it look like a user. */
function roleOf(statement: string): string | undefined {
  const found = roleHead.exec(statement)?.[1];
  if (found === undefined || !/^[`"]/.test(found)) return found;
  return found.slice(1, -1).replaceAll(found.charAt(0).repeat(2), found.charAt(0));
}

/** Views that refer to what is not there any more cannot be made again, by nobody. */
async function readViews(session: Session, schema: string): Promise<Program[]> {
  const rows = await session.query<{ name: string }>(
    'SELECT TABLE_NAME AS name FROM information_schema.VIEWS WHERE TABLE_SCHEMA = ? ORDER BY TABLE_NAME',
    [schema],
  );
  const programs: Program[] = [];
  for (const { name } of rows) {
    const [row = {}] = await session.query<Record<string, string>>(`SHOW CREATE VIEW ${ident(name)}`);
    programs.push({ kind: 'VIEW', name, text: row['Create View'] ?? '', settings: settingsOf(row) });
  }
  return programs;
}

async function readEvents(session: Session, schema: string): Promise<Program[]> {
  const rows = await session.query<{ name: string }>(
    'SELECT EVENT_NAME AS name FROM information_schema.EVENTS WHERE EVENT_SCHEMA = ? ORDER BY EVENT_NAME',
    [schema],
  );
  const programs: Program[] = [];
  for (const { name } of rows) {
    const [row = {}] = await session.query<Record<string, string>>(`SHOW CREATE EVENT ${ident(name)}`);
    programs.push({ kind: 'EVENT', name, text: row['Create Event'] ?? '', settings: settingsOf(row) });
  }
  return programs;
}

function settingsOf(row: Readonly<Record<string, string | null>>): ProgramSettings {
  return {
    sqlMode: row.sql_mode ?? '',
    client: row.character_set_client ?? 'utf8mb4',
    collation: row.collation_connection ?? 'utf8mb4_general_ci',
    ...(row.time_zone ? { timeZone: row.time_zone } : {}),
  };
}

/** For the schema that is chosen. Which triggers come before which others on the same table is the order of their list. */
export function createStatement({ trigger, name, text }: Program, table?: string): string {
  if (!trigger) return text;
  const definer = trigger.definer === '' ? 'CURRENT_USER' : account(trigger.definer);
  return (
    `CREATE DEFINER=${definer} TRIGGER ${ident(name)} ${trigger.timing} ${trigger.event} ` +
    `ON ${ident(table ?? trigger.table)} FOR EACH ROW${text}`
  );
}

/** The session's settings under which a program must be made to be the same again. */
export function settingsStatement({ settings, text }: Program): string {
  const { sqlMode, collation, timeZone } = settings;
  return (
    `SET SESSION sql_mode = ${literal(sqlMode)}, character_set_client = ${clientCharset(settings.client, text)}, ` +
    `collation_connection = ${literal(collation)}${timeZone === undefined ? '' : `, time_zone = ${literal(timeZone)}`}`
  );
}

/** Our statements are UTF-8, whatever the client spoke that made the program. */
function clientCharset(charset: string, text: string): string {
  const isAscii = /^\p{ASCII}*$/u.test(text);
  const isPlain = !/[\u{10000}-\u{10ffff}]/u.test(text);
  const fits = charset === 'utf8mb4' || isAscii || (/^utf8(mb3)?$/.test(charset) && isPlain);
  return fits && /^[a-z0-9]+$/.test(charset) && !/^(ucs2|utf16|utf16le|utf32)$/.test(charset)
    ? charset
    : 'utf8mb4';
}
