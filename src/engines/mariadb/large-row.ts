import { ForestayError } from '../../core/errors.ts';
import type { Session } from './session.ts';

/**
 * Rows as large as max_allowed_packet lets them be are larger as statements: hexadecimal digits take two bytes for one. Such
 * values are put together on the server, in variables of the session, and no statement is larger than a quarter of a packet.
 */
export async function insertInPieces(session: Session, sql: string, maxAllowedPacket: number): Promise<void> {
  const piece = Math.max(1024, Math.floor(maxAllowedPacket / 4) & ~1);
  const { head, rows } = splitRows(sql);
  for (const values of rows) {
    const shown: string[] = [];
    for (const [index, value] of values.entries()) {
      if (value.length <= piece / Math.max(1, values.length)) {
        shown.push(value);
        continue;
      }
      const variable = `@forestay_${index}`;
      let set = false;
      for (const part of piecesOf(value, piece)) {
        await session.query(`SET ${variable} = ${set ? `CONCAT(${variable}, ${part})` : part}`);
        set = true;
      }
      await assertSet(session, variable);
      shown.push(variable);
    }
    await session.query(`${head}(${shown.join(',')})`);
  }
  await session.query(
    `SET ${Array.from({ length: rows[0]?.length ?? 1 }, (_, index) => `@forestay_${index} = NULL`).join(', ')}`,
  );
}

/** What became larger than max_allowed_packet is NULL. */
async function assertSet(session: Session, variable: string): Promise<void> {
  const [row] = await session.query<{ lost: number }>(`SELECT ${variable} IS NULL AS lost`);
  if (Number(row?.lost) === 0) return;
  throw new ForestayError(
    'IncompatibleBackup',
    'The backup holds a value that is too large for the server.',
    {
      hint: 'Raise max_allowed_packet of the server to that of the server the backup is of, then try again.',
    },
  );
}

/** The part up to and with VALUES, and the values of each row, as they stand in the statement. */
export function splitRows(sql: string): { head: string; rows: string[][] } {
  const match = /^INSERT INTO `(?:[^`]|``)*`(?: \((?:`(?:[^`]|``)*`|[^`)])*\))? VALUES/.exec(sql);
  const head = `${match?.[0] ?? ''} `;
  const rows: string[][] = [];
  let row: string[] = [];
  let start = -1;
  for (let at = match?.[0].length ?? 0; at < sql.length; at++) {
    const char = sql[at];
    if (char === "'") at = endOfText(sql, at);
    else if (char === '(') {
      row = [];
      start = at + 1;
    } else if ((char === ',' || char === ')') && start >= 0) {
      row.push(sql.slice(start, at).trim());
      start = at + 1;
      if (char === ')') {
        rows.push(row);
        start = -1;
      }
    }
  }
  return { head, rows };
}

function endOfText(sql: string, open: number): number {
  for (let at = open + 1; at < sql.length; at++) {
    if (sql[at] === '\\') at++;
    else if (sql[at] === "'") return at;
  }
  return sql.length;
}

/** Constants that make the value when they are joined. Texts are not cut within a character or behind a backslash. */
function* piecesOf(value: string, size: number): Generator<string> {
  if (/^0x/.test(value)) {
    for (let at = 2; at < value.length; at += size) yield `x'${value.slice(at, at + size)}'`;
    return;
  }
  const text = value.slice(1, -1);
  for (let at = 0; at < text.length; ) {
    let end = Math.min(text.length, at + size);
    // Bytes that go on with a character of UTF-8 are 10xxxxxx.
    while (end < text.length && (text.charCodeAt(end) & 0xc0) === 0x80) end--;
    let backslashes = 0;
    while (text[end - 1 - backslashes] === '\\') backslashes++;
    if (end < text.length && backslashes % 2 === 1) end--;
    yield `'${text.slice(at, end)}'`;
    at = end;
  }
}
