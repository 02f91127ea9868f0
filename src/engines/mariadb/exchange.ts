import { ForestayError } from '../../core/errors.ts';
import { addKeys, type DanglingKey, dropKeys, readDangling } from './dangling.ts';
import { readTables } from './details.ts';
import { errorNumber } from './errors.ts';
import type { Exchange, Passing, SequenceDefault } from './journal.ts';
import { journalIn } from './journal.ts';
import { dropProgram, dropTriggers, leftOut, makeProgram, notThere } from './make-programs.ts';
import { journalTable, markerTable, passingName } from './names.ts';
import { type Program, readPrograms } from './programs.ts';
import { ident, literal, qualified } from './quote.ts';
import { createSchema, tableExists } from './schemas.ts';
import type { Session } from './session.ts';

/**
 * How the tables of a schema become others at one moment. RENAME TABLE takes any number of tables from schema to schema, all
 * or none of them, a crash of the server included (MariaDB 10.6). But it takes no table with triggers to another schema, and
 * no views, routines and events at all. So, where there are such:
 *
 * 1. All tables go, in one statement: to the outgoing schema, those with triggers to a name that nobody knows. Together
 *    with them goes the marker. From here on the exchange is finished, by whoever comes; before, nothing has changed.
 * 2. Nobody finds a table now. Old triggers, views, routines and events are dropped, new triggers and routines made.
 * 3. All tables come, in one statement; then views and events are made.
 *
 * Where there are none, steps 1 and 3 are one statement. Every part of 2 and 3 looks at what is there, and can be repeated.
 */
export interface ExchangePlan {
  readonly ticketId: string;
  readonly target: string;
  readonly incoming: string;
  readonly outgoing: string;
  readonly kind: 'switched' | 'undone';
  readonly charset: string;
  readonly collation: string;
  readonly programs: readonly Program[];
  /** Those of an exchange that is undone: they were taken off then. */
  readonly dangling?: readonly DanglingKey[];
}

/** Prepares an exchange, which changes nothing yet. */
export async function prepareExchange(session: Session, plan: ExchangePlan): Promise<Exchange> {
  const { ticketId, target, incoming, outgoing, kind, programs } = plan;
  const [before] = await session.query<{ charset: string; collation: string }>(
    `SELECT DEFAULT_CHARACTER_SET_NAME AS charset, DEFAULT_COLLATION_NAME AS collation
     FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = ?`,
    [target],
  );
  if (!before) throw new Error('the schema is not there any more');
  const marker = markerTable(ticketId, kind);
  // Who was frozen for long must not take away what the one who was faster keeps.
  if (await tableExists(session, outgoing, marker)) {
    throw new ForestayError('AttemptSuperseded', 'Another attempt of this restore has switched already.');
  }
  await createSchema(session, outgoing, before);
  await session.query(
    `CREATE OR REPLACE TABLE ${qualified(incoming, marker)} (a INT PRIMARY KEY) ENGINE = InnoDB`,
  );
  const defaults = await takeDefaults(session, incoming, target);
  const dangling = [...(plan.dangling ?? []), ...(await readDangling(session, incoming))];
  await session.query('SET SESSION foreign_key_checks = 0');
  await dropKeys(session, incoming, dangling);
  const old = await readPrograms(session, target);
  const exchange: Exchange = {
    ticketId,
    target,
    incoming,
    outgoing,
    marker,
    charset: plan.charset,
    collation: plan.collation,
    leaving: passing(ticketId, 'o', old),
    arriving: passing(ticketId, 'n', programs),
    defaults,
    dangling,
    programs,
    before: { ...before, programs: old, dangling: await readDangling(session, target) },
  };
  await journalIn(session, outgoing, journalTable(ticketId)).write(exchange);
  return exchange;
}

function passing(ticketId: string, way: 'o' | 'n', programs: readonly Program[]): Passing[] {
  const tables = new Set(programs.flatMap(({ trigger }) => trigger?.table ?? []));
  return [...tables].map((name, index) => ({ name, passing: passingName(ticketId, way, index) }));
}

/** Step 1: the one statement that decides. */
export async function moveTables(session: Session, exchange: Exchange): Promise<void> {
  const { ticketId, target, incoming, outgoing, marker } = exchange;
  const leaving = namesOf(exchange.leaving);
  const renames = (await readTables(session, target)).map(({ name }) =>
    rename(target, name, leaving.has(name) ? target : outgoing, leaving.get(name) ?? name),
  );
  if (isPlain(exchange)) {
    const tables = await readTables(session, incoming);
    renames.push(
      ...tables
        .filter(({ name }) => name !== marker && !isOurs(ticketId, name))
        .map(({ name }) => rename(incoming, name, target, name)),
    );
  }
  await session.query(`RENAME TABLE ${[...renames, rename(incoming, marker, outgoing, marker)].join(', ')}`);
}

function isPlain({ programs, defaults, dangling, before }: Exchange): boolean {
  const { length } = [...programs, ...defaults, ...dangling, ...before.programs, ...before.dangling];
  return length === 0;
}

/** Steps 2 and 3, or what is left of them. Resolves with what was left out after all, a sentence each. */
export async function finishExchange(session: Session, exchange: Exchange): Promise<string[]> {
  const { ticketId, target, incoming, outgoing } = exchange;
  await session.query('SET SESSION foreign_key_checks = 0');
  await session.query(`USE ${ident(target)}`);
  await sendAway(session, exchange);
  await dropKeys(session, outgoing, exchange.before.dangling);
  await dropPrograms(session, exchange);
  const { charset, collation } = exchange;
  await session.query(
    `ALTER DATABASE ${ident(target)} CHARACTER SET ${ident(charset)} COLLATE ${ident(collation)}`,
  );
  await takeSequences(session, exchange);

  const arriving = namesOf(exchange.arriving);
  const waiting = await comingTables(session, exchange);
  const hidden = waiting.filter((name) => arriving.has(name));
  await renameAll(
    session,
    hidden.map((name) => rename(incoming, name, target, arriving.get(name) ?? name)),
  );
  const here = new Set((await readTables(session, target)).map(({ name }) => name));
  const stillHidden = exchange.arriving.filter(({ passing: name }) => here.has(name));
  if (stillHidden.length > 0) {
    await dropTriggers(session, target, new Set(stillHidden.map(({ passing: name }) => name)));
    for (const program of exchange.programs)
      if (program.kind === 'TRIGGER')
        await makeProgram(session, program, { schema: target, passing: arriving });
  }
  for (const program of exchange.programs)
    if (!/^(TRIGGER|VIEW|EVENT)$/.test(program.kind)) await makeProgram(session, program, { schema: target });

  await renameAll(session, [
    ...waiting.filter((name) => !arriving.has(name)).map((name) => rename(incoming, name, target, name)),
    ...stillHidden.map(({ name, passing: hiddenName }) => rename(target, hiddenName, target, name)),
  ]);
  await addKeys(session, target, exchange.dangling);
  const lost: string[] = [];
  lost.push(...(await makeViews(session, exchange)));
  for (const program of exchange.programs) {
    if (program.kind !== 'EVENT') continue;
    await makeProgram(session, program, { schema: target });
    if (!(await eventExists(session, target, program.name)))
      lost.push(`The event ${program.name} was left out: the server drops events whose time is past.`);
  }
  await journalIn(session, outgoing, journalTable(ticketId)).markDone();
  return lost;
}

/** In any order, as they may need one another. Resolves with what was left out. */
async function makeViews(session: Session, { programs, target }: Exchange): Promise<string[]> {
  let waiting = programs.filter(({ kind }) => kind === 'VIEW');
  while (waiting.length > 0) {
    const later: Program[] = [];
    for (const view of waiting)
      await makeProgram(session, view, { schema: target }).catch((error: unknown) => {
        // Views go by the rights of their definers, who may have had more in the schema where they were tried.
        if (!notThere.has(errorNumber(error) ?? 0)) throw error;
        later.push(view);
      });
    if (later.length === waiting.length) return later.map(leftOut);
    waiting = later;
  }
  return [];
}

/** The server says of events that are over only in a note that it dropped them at once. */
async function eventExists(session: Session, schema: string, name: string): Promise<boolean> {
  const rows = await session.query(
    'SELECT 1 FROM information_schema.EVENTS WHERE EVENT_SCHEMA = ? AND EVENT_NAME = ?',
    [schema, name],
  );
  return rows.length > 0;
}

/** Tables that were parked for their triggers go where the others went. */
export async function sendAway(session: Session, exchange: Exchange): Promise<void> {
  const { target, outgoing } = exchange;
  const here = new Set((await readTables(session, target)).map(({ name }) => name));
  const parked = exchange.leaving.filter(({ passing: name }) => here.has(name));
  await dropTriggers(session, target, new Set(parked.map(({ passing: name }) => name)));
  await renameAll(
    session,
    parked.map(({ name, passing: parkedName }) => rename(target, parkedName, outgoing, name)),
  );
}

/** Everything but triggers, whose tables are away. */
async function dropPrograms(session: Session, { target }: Exchange): Promise<void> {
  const rows = await session.query<{ kind: Program['kind']; name: string }>(
    `SELECT 'EVENT' AS kind, EVENT_NAME AS name FROM information_schema.EVENTS WHERE EVENT_SCHEMA = ${literal(target)}
     UNION ALL SELECT 'VIEW', TABLE_NAME FROM information_schema.VIEWS WHERE TABLE_SCHEMA = ${literal(target)}
     UNION ALL SELECT ROUTINE_TYPE, ROUTINE_NAME FROM information_schema.ROUTINES
       WHERE ROUTINE_SCHEMA = ${literal(target)} AND ROUTINE_TYPE <> 'PACKAGE BODY'`,
  );
  for (const program of rows) await dropProgram(session, target, program);
}

/** Sequences come before the tables whose defaults name them. */
async function takeSequences(session: Session, { target, incoming, defaults }: Exchange): Promise<void> {
  const tables = await readTables(session, incoming);
  const sequences = tables.filter(({ type }) => type === 'SEQUENCE');
  await renameAll(
    session,
    sequences.map(({ name }) => rename(incoming, name, target, name)),
  );
  for (const { table, column, value } of defaults)
    if (tables.some(({ name }) => name === table))
      await session.query(
        `ALTER TABLE ${qualified(incoming, table)} ALTER COLUMN ${ident(column)} SET DEFAULT (${value})`,
      );
}

/**
 * A table cannot be opened once the sequence that its default names is at another place, so these defaults are taken off while
 * the table is in a schema of its own.
 */
async function takeDefaults(session: Session, incoming: string, target: string): Promise<SequenceDefault[]> {
  const found = await session.query<SequenceDefault>(
    `SELECT TABLE_NAME AS \`table\`, COLUMN_NAME AS \`column\`, COLUMN_DEFAULT AS value FROM information_schema.COLUMNS
     JOIN information_schema.TABLES USING (TABLE_SCHEMA, TABLE_NAME)
     WHERE TABLE_SCHEMA = ? AND TABLE_TYPE <> 'VIEW' AND COLUMN_DEFAULT REGEXP '(next|last)val[(]' AND LOCATE(?, COLUMN_DEFAULT) > 0`,
    [incoming, `${ident(incoming)}.`],
  );
  for (const { table, column } of found)
    await session.query(
      `ALTER TABLE ${qualified(incoming, table)} ALTER COLUMN ${ident(column)} DROP DEFAULT`,
    );
  return found.map(({ value, ...rest }) => ({
    ...rest,
    value: value.replaceAll(`${ident(incoming)}.`, () => `${ident(target)}.`),
  }));
}

/** Tables that are yet to come. */
async function comingTables(session: Session, { ticketId, incoming, marker }: Exchange): Promise<string[]> {
  return (await readTables(session, incoming))
    .map(({ name }) => name)
    .filter((name) => name !== marker && !isOurs(ticketId, name));
}

/** Journals and markers, of this exchange or of the one it undoes. */
function isOurs(ticketId: string, name: string): boolean {
  return (
    name === journalTable(ticketId) ||
    name === markerTable(ticketId, 'switched') ||
    name === markerTable(ticketId, 'undone')
  );
}

function namesOf(list: readonly Passing[]): ReadonlyMap<string, string> {
  return new Map(list.map(({ name, passing: other }) => [name, other]));
}

function rename(schema: string, name: string, toSchema: string, toName: string): string {
  return `${qualified(schema, name)} TO ${qualified(toSchema, toName)}`;
}

async function renameAll(session: Session, renames: readonly string[]): Promise<void> {
  if (renames.length > 0) await session.query(`RENAME TABLE ${renames.join(', ')}`);
}
