import { errorNumber } from './errors.ts';
import { createStatement, type Program, settingsStatement } from './programs.ts';
import { ident, qualified, replaceName } from './quote.ts';
import type { Session } from './session.ts';

export interface MakeOptions {
  readonly schema: string;
  /** Tables that bear another name for the moment. */
  readonly passing?: ReadonlyMap<string, string>;
}

/** Makes one program in a schema, which must be the chosen one (`USE`); where one of its name is, that goes first. */
export async function makeProgram(
  session: Session,
  program: Program,
  { schema, passing }: MakeOptions,
): Promise<void> {
  await dropProgram(session, schema, program);
  try {
    await session.query(settingsStatement(program));
    await session.query(createStatement(program, passing?.get(program.trigger?.table ?? '')));
  } finally {
    await session.query(usualSettings).catch(() => {});
  }
}

const usualSettings =
  "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO,NO_ENGINE_SUBSTITUTION', character_set_client = utf8mb4, " +
  'collation_connection = utf8mb4_general_ci, time_zone = DEFAULT';

export async function dropProgram(
  session: Session,
  schema: string,
  { kind, name }: Pick<Program, 'kind' | 'name'>,
): Promise<void> {
  const drop = () => session.query(`DROP ${kind} IF EXISTS ${qualified(schema, name)}`);
  if (!kind.startsWith('PACKAGE')) {
    await drop();
    return;
  }
  // In MariaDB 10.11 these are words of this mode only.
  await session.query("SET SESSION sql_mode = 'ORACLE'");
  await drop();
  await session.query(usualSettings);
}

/** Numbers of errors by which the server says that what a view needs is not there (yet). */
export const notThere: ReadonlySet<number> = new Set([1054, 1146, 1305, 1356, 1449]);
const noRightToDefiner = 1227;

export interface Tried {
  /** As they can be made, in an order in which they can. */
  readonly programs: Program[];
  /** What was left out or changed, a sentence each. */
  readonly notKept: string[];
}

export interface TryOptions {
  readonly schema: string;
  readonly source: string;
  readonly target: string;
  /** Who made the backup: at another place another user has this one's part. */
  readonly account: { readonly source: string; readonly target: string };
}

/**
 * Makes all programs in a schema of their own tables, and so finds out what the server and the user's rights allow before
 * anything is changed. Resolves with the programs as they are to be made in `target`. Throws where one cannot be made.
 */
export async function tryPrograms(
  session: Session,
  programs: readonly Program[],
  { schema, source, target, account }: TryOptions,
): Promise<Tried> {
  await session.query(`USE ${ident(schema)}`);
  const made: Program[] = [];
  const notKept: string[] = [];
  const attempt = async (program: Program) => {
    const isOwn = account.source !== account.target && accountOf(program) === account.source;
    let given = isOwn ? withoutDefiner(program) : program;
    const trial = () => makeProgram(session, asTrial(inSchema(given, source, schema)), { schema });
    try {
      await trial();
    } catch (error) {
      if (errorNumber(error) !== noRightToDefiner || isOwn || accountOf(program) === undefined) throw error;
      given = withoutDefiner(program);
      await trial();
      notKept.push(
        `The ${what(program)} was defined by ${accountOf(program)}, which this user may not give: it is the definer now (SET USER).`,
      );
    }
    made.push(inSchema(given, source, target));
  };
  for (const program of programs)
    if (program.kind !== 'VIEW' && program.kind !== 'EVENT') await attempt(program);

  let waiting = programs.filter(({ kind }) => kind === 'VIEW');
  while (waiting.length > 0) {
    const later: Program[] = [];
    for (const view of waiting) {
      await attempt(view).catch((error: unknown) => {
        if (!notThere.has(errorNumber(error) ?? 0)) throw error;
        later.push(view);
      });
    }
    if (later.length === waiting.length) {
      notKept.push(...later.map(leftOut));
      break;
    }
    waiting = later;
  }
  for (const program of programs) if (program.kind === 'EVENT') await attempt(program);
  await dropTriggers(session, schema);
  return { programs: made, notKept };
}

export function leftOut({ name }: Program): string {
  return `The view ${name} was left out: it refers to something that is not there, or its definer lacks a right or is not there.`;
}

const what = ({ kind, name }: Program) => `${kind.toLowerCase()} ${name}`;

/** Tables with triggers cannot go to another schema. */
export async function dropTriggers(
  session: Session,
  schema: string,
  tables?: ReadonlySet<string>,
): Promise<void> {
  const rows = await session.query<{ name: string; table: string }>(
    'SELECT TRIGGER_NAME AS name, EVENT_OBJECT_TABLE AS `table` FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = ?',
    [schema],
  );
  for (const { name, table } of rows)
    if (!tables || tables.has(table)) await dropProgram(session, schema, { kind: 'TRIGGER', name });
}

/** An event must not begin to run in a trial. */
function asTrial(program: Program): Program {
  if (program.kind !== 'EVENT') return program;
  const text = program.text.replace(
    /ON COMPLETION (NOT )?PRESERVE ENABLE\b/,
    'ON COMPLETION PRESERVE DISABLE',
  );
  return { ...program, text };
}

/** The server writes views with the names of schemas where these are needed; what people wrote stays as it is. */
function inSchema(program: Program, from: string, to: string): Program {
  if (program.kind !== 'VIEW' || from === to) return program;
  const text = replaceName(program.text, ident(from), ident(to), isSchema);
  return { ...program, text };
}

/** Tables and aliases of tables may bear the name of their schema, and stand before columns. */
function isSchema(before: string, after: string): boolean {
  if (!after.startsWith('.`')) return false;
  return (
    /^\.`(?:[^`]|``)*`(?:\(|\.`)/.test(after) ||
    /(?:\b(?:next|last|set)val\(|\b(?:from|join) \(*)$/i.test(before)
  );
}

const quotedName = '(?:`(?:[^`]|``)*`|"(?:[^"]|"")*")';
const definer = new RegExp(`^(CREATE (?:ALGORITHM=[A-Z]+ )?)DEFINER=(${quotedName}(?:@${quotedName})?)`);

/** `user@host` */
function accountOf({ text, trigger }: Program): string | undefined {
  if (trigger) return trigger.definer;
  const found = definer.exec(text)?.[2];
  return found?.replaceAll(new RegExp(quotedName, 'g'), (name) => {
    const quote = name.charAt(0);
    return name.slice(1, -1).replaceAll(quote + quote, quote);
  });
}

function withoutDefiner(program: Program): Program {
  const { trigger, text } = program;
  if (trigger) return { ...program, trigger: { ...trigger, definer: '' } };
  return { ...program, text: text.replace(definer, '$1DEFINER=CURRENT_USER') };
}
