import { randomBytes } from 'node:crypto';
import { Type } from 'typebox';
import { Value } from 'typebox/value';
import { ForestayError } from '../../core/errors.ts';
import { createStatement, type Program, programKinds, settingsStatement } from './programs.ts';
import { ident } from './quote.ts';

/**
 * What is appended to the script of mariadb-dump: the programs, first for this engine (JSON in comments, so that nothing in
 * them has to be told from SQL), then for the mariadb client of somebody who restores without Forestay; at last an end mark.
 */

const programLine = '-- forestay-program: ';
export const programsEnd = '-- forestay-programs-end';
/** The last line of every backup. */
export const endMark = '-- Forestay backup completed';

export function writePrograms(programs: readonly Program[]): Buffer {
  const lines = programs.map(
    (program) => programLine + JSON.stringify(program).replaceAll('\u2028', '\\u2028'),
  );
  return Buffer.from(
    [
      '',
      '-- What follows is for Forestay; after it comes the same for the mariadb client.',
      ...lines,
      programsEnd,
      ...(programs.length === 0 ? [] : forClient(programs)),
      endMark,
      '',
    ].join('\n'),
  );
}

/** A delimiter that is in none of the statements. */
function forClient(programs: readonly Program[]): string[] {
  // The client takes no longer ones.
  const delimiter = `fs-${randomBytes(5).toString('hex')}`;
  const make = (program: Program) => {
    const { name } = program;
    const drop = `DROP ${program.kind} IF EXISTS ${ident(name)}`;
    return [settingsStatement(program), drop, createStatement(program)].map(
      (statement) => `${statement} ${delimiter}`,
    );
  };
  return [`DELIMITER ${delimiter}`, ...inOrder(programs).flatMap(make), 'DELIMITER ;'];
}

/** A view comes after those that it may refer to: the server writes all names in backticks. */
function inOrder(programs: readonly Program[]): Program[] {
  const ordered = programs.filter(({ kind }) => kind !== 'VIEW' && kind !== 'EVENT');
  let waiting = programs.filter(({ kind }) => kind === 'VIEW');
  while (waiting.length > 0) {
    const needs = ({ name, text }: Program) =>
      waiting.some((other) => other.name !== name && text.includes(ident(other.name)));
    const next = waiting.find((view) => !needs(view)) ?? waiting[0]!;
    ordered.push(next);
    waiting = waiting.filter((view) => view !== next);
  }
  return [...ordered, ...programs.filter(({ kind }) => kind === 'EVENT')];
}

const ProgramSchema = Type.Object({
  kind: Type.Enum([...programKinds]),
  name: Type.String({ minLength: 1 }),
  text: Type.String({ minLength: 1 }),
  trigger: Type.Optional(
    Type.Object({
      table: Type.String({ minLength: 1 }),
      timing: Type.Enum(['BEFORE', 'AFTER']),
      event: Type.Enum(['INSERT', 'UPDATE', 'DELETE']),
      definer: Type.String({ minLength: 1 }),
    }),
  ),
  settings: Type.Object({
    sqlMode: Type.String({ pattern: '^[A-Z_,]*$' }),
    client: Type.String({ pattern: '^[A-Za-z0-9_]+$' }),
    collation: Type.String({ pattern: '^[A-Za-z0-9_]+$' }),
    timeZone: Type.Optional(Type.String({ pattern: '^[A-Za-z0-9_+:/-]+$' })),
  }),
});

/** Reads a line; undefined where it is not one of a program. */
export function readProgram(line: string): Program | undefined {
  if (!line.startsWith(programLine)) return undefined;
  const program: unknown = parsed(line.slice(programLine.length));
  if (!Value.Check(ProgramSchema, program) || !isWhatItSays(program)) {
    throw new ForestayError('IncompatibleBackup', 'The backup holds a program that Forestay did not write.', {
      hint: 'Use another backup. Nothing was changed.',
    });
  }
  return program;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The statements of `SHOW CREATE` name what they make without a schema: it is made in the one that is chosen. */
function isWhatItSays({ kind, name, text, trigger }: Program): boolean {
  if (kind === 'TRIGGER') return trigger !== undefined;
  // With double quotes where it was made under ANSI_QUOTES.
  const quotedName = '(?:`(?:[^`]|``)*`|"(?:[^"]|"")*")';
  const head = new RegExp(
    `^CREATE (?:ALGORITHM=[A-Z]+ )?(?:DEFINER=(?:${quotedName}(?:@${quotedName})?) )?(?:SQL SECURITY [A-Z]+ )?(?:AGGREGATE )?${kind} (?:IF NOT EXISTS )?(?:(${quotedName})|([A-Za-z0-9_$]+))(?!\\s*\\.)`,
    's',
  );
  const match = head.exec(text);
  if (!match) return false;
  const found = match[1] === undefined ? match[2] : unquoted(match[1]);
  return found === name;
}

function unquoted(name: string): string {
  const quote = name.charAt(0);
  return name.slice(1, -1).replaceAll(quote + quote, quote);
}
