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

/** A delimiter that is in none of the statements. Views that need others that come later are made in a second go. */
function forClient(programs: readonly Program[]): string[] {
  const delimiter = `forestay-${randomBytes(8).toString('hex')}`;
  const make = (program: Program) => {
    const { name } = program;
    const drop = `DROP ${program.kind} IF EXISTS ${ident(name)}`;
    return [settingsStatement(program), drop, createStatement(program)].map(
      (statement) => `${statement} ${delimiter}`,
    );
  };
  const placeholders = programs
    .filter(({ kind }) => kind === 'VIEW')
    .map(({ name }) => `DROP TABLE IF EXISTS ${ident(name)} ${delimiter}`);
  return [`DELIMITER ${delimiter}`, ...placeholders, ...programs.flatMap(make), 'DELIMITER ;'];
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
  const quotedName = '`(?:[^`]|``)*`';
  const head = new RegExp(
    `^CREATE (?:ALGORITHM=[A-Z]+ )?(?:DEFINER=(?:${quotedName}(?:@${quotedName})?) )?(?:SQL SECURITY [A-Z]+ )?(?:AGGREGATE )?${kind} (?:IF NOT EXISTS )?(?:(${quotedName})|([A-Za-z0-9_$]+))(?![\`.\\s]*\\.)`,
    's',
  );
  const match = head.exec(text);
  if (!match) return false;
  const found = match[1] === undefined ? match[2] : match[1].slice(1, -1).replaceAll('``', '`');
  return found === name;
}
