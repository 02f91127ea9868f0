import { ForestayError } from '../../core/errors.ts';
import { release } from '../../pipeline/release.ts';
import { endMark, programsEnd } from './program-script.ts';

/**
 * Reads the script of a backup. Each statement is taken apart far enough to know that it is one that mariadb-dump writes and
 * touches nothing but the schema it is run in: whoever could change a backup, or give names to things in a database, must
 * not have other statements run with the rights of the user that restores. No client program reads any of it.
 */
export type ScriptPart =
  | { readonly kind: 'table' | 'sequence' | 'value'; readonly sql: string }
  | { readonly kind: 'rows'; readonly sql: string }
  /** A line of what Forestay appended, as UTF-8. */
  | { readonly kind: 'program line'; readonly line: string };

/** Statements are strings of bytes, one to a character, without their semicolon. Throws `IncompatibleBackup`. */
export async function* readScript(source: AsyncIterable<Buffer>): AsyncGenerator<ScriptPart> {
  const reader = new Reader();
  for await (const bytes of source) {
    reader.append(bytes);
    release(bytes);
    for (let part = reader.next(); part !== undefined; part = reader.next()) if (part !== skipped) yield part;
  }
  reader.assertEnded();
}

const skipped = Symbol('skipped');

const code = (char: string) => char.charCodeAt(0);
const newline = code('\n');
const semicolon = code(';');
const slash = code('/');
const star = code('*');
const backslash = code('\\');
const open = code('(');
const comma = code(',');
const space = code(' ');
const quote = code("'");
const backtick = code('`');
const quotes: ReadonlySet<number> = new Set([quote, backtick, code('"')]);

/** What may stand between the texts of a row: numbers, NULL, hexadecimal digits, and what separates them. */
const valueBytes = new Uint8Array(256);
for (const char of '0123456789abcdefABCDEFxNULe+-.,() \n') valueBytes[code(char)] = 1;

type Mode = 'statement' | 'rows' | 'programs' | 'client';

/** A window on the bytes that is as large as the largest statement. */
class Reader {
  #buffer = Buffer.allocUnsafeSlow(1024 * 1024);
  #start = 0;
  #end = 0;
  /** Up to where the statement has been looked at. */
  #at = 0;
  /** The quote that is open there, or 0. */
  #quote = 0;
  #mode: Mode = 'statement';
  /** Of rows: the last byte that was no space. */
  #before = 0;

  append(bytes: Buffer): void {
    const rest = this.#end - this.#start;
    if (this.#end + bytes.length > this.#buffer.length) {
      const size = Math.max(this.#buffer.length, 2 ** Math.ceil(Math.log2(rest + bytes.length)));
      const target = size > this.#buffer.length ? Buffer.allocUnsafeSlow(size) : this.#buffer;
      this.#buffer.copy(target, 0, this.#start, this.#end);
      this.#buffer = target;
      this.#at -= this.#start;
      this.#start = 0;
      this.#end = rest;
    }
    bytes.copy(this.#buffer, this.#end);
    this.#end += bytes.length;
  }

  /** The next part, `skipped`, or undefined when more bytes are needed. */
  next(): ScriptPart | typeof skipped | undefined {
    if (this.#mode === 'programs' || this.#mode === 'client') return this.#line();
    if (this.#at === this.#start) {
      const begun = this.#begin();
      if (begun !== 'begun') return begun;
    }
    return this.#mode === 'rows' ? this.#rows() : this.#statement();
  }

  assertEnded(): void {
    if (this.#mode === 'client' && this.#lastIsMark && this.#start === this.#end) return;
    throw new ForestayError('IncompatibleBackup', 'The backup has no end, or is no MariaDB backup.', {
      hint: 'Use another backup. Nothing was changed.',
    });
  }

  /** Looks at how a statement begins, which takes a few bytes. */
  #begin(): 'begun' | typeof skipped | undefined {
    while (this.#start < this.#end && this.#buffer[this.#start]! <= 32) this.#start++;
    this.#at = this.#start;
    if (this.#end - this.#start < 16) return undefined;
    const head = this.#buffer.toString('latin1', this.#start, this.#start + 13);
    if (head.startsWith('-- ')) {
      this.#mode = 'programs';
      return skipped;
    }
    if (head.startsWith('/*')) return this.#comment();
    if (head === 'INSERT INTO `') {
      const header = this.#rowsHeader();
      if (header === undefined) {
        // Names are short: a header that does not end is none.
        if (this.#end - this.#start > 1024 * 1024) throw foreign();
        this.#at = this.#start;
        return undefined;
      }
      this.#mode = 'rows';
      this.#at = header;
      // As if another row had come before the first.
      this.#before = comma;
    }
    return 'begun';
  }

  /** Comments, those that are for some versions of servers included, are settings of the dumping tool: this engine has its own. */
  #comment(): typeof skipped | undefined {
    let inside = 0;
    for (let at = this.#start + 2; at < this.#end; at++) {
      const byte = this.#buffer[at]!;
      if (inside !== 0) {
        if (byte === inside) inside = 0;
      } else if (quotes.has(byte)) inside = byte;
      else if (byte === star && this.#buffer[at + 1] === slash && at + 1 < this.#end) {
        let after = at + 2;
        while (after < this.#end && this.#buffer[after] === space) after++;
        // Whether a semicolon follows is only known when something does.
        if (after === this.#end) return undefined;
        this.#skipTo(this.#buffer[after] === semicolon ? after + 1 : after);
        return skipped;
      }
    }
    if (this.#end - this.#start > 1024 * 1024) throw foreign();
    return undefined;
  }

  /** Where the rows begin; undefined when more bytes are needed. */
  #rowsHeader(): number | undefined {
    const text = this.#buffer.toString('latin1', this.#start, Math.min(this.#end, this.#start + 1024 * 1024));
    const match =
      /^INSERT INTO `(?:[^`]|``)*`(?: \((?:`(?:[^`]|``)*`|row_start|row_end)(?:, ?(?:`(?:[^`]|``)*`|row_start|row_end))*\))? VALUES\s/.exec(
        text,
      );
    return match ? this.#start + match[0].length : undefined;
  }

  #rows(): ScriptPart | undefined {
    const buffer = this.#buffer;
    const end = this.#end;
    let at = this.#at;
    let before = this.#before;
    let inText = this.#quote !== 0;
    while (at < end) {
      const byte = buffer[at]!;
      if (inText) {
        if (byte === backslash) {
          // What it makes plain may be yet to come.
          if (at + 1 === end) break;
          at++;
        } else if (byte === quote) inText = false;
      } else if (byte === quote) {
        inText = true;
        before = byte;
      } else if (byte === semicolon) {
        const sql = buffer.toString('latin1', this.#start, at);
        this.#mode = 'statement';
        this.#skipTo(at + 1);
        return { kind: 'rows', sql };
      } else {
        // A parenthesis begins a row, and nothing else: no function is called.
        if (valueBytes[byte] === 0 || (byte === open && before !== comma)) throw foreign();
        if (byte > 32) before = byte;
      }
      at++;
    }
    this.#at = at;
    this.#before = before;
    this.#quote = inText ? quote : 0;
    return undefined;
  }

  #statement(): ScriptPart | typeof skipped | undefined {
    for (; this.#at < this.#end; this.#at++) {
      const byte = this.#buffer[this.#at]!;
      if (this.#quote !== 0) {
        if (byte === backslash && this.#quote !== backtick) {
          if (this.#at + 1 === this.#end) break;
          this.#at++;
        } else if (byte === this.#quote) this.#quote = 0;
      } else if (quotes.has(byte)) this.#quote = byte;
      else if (byte === semicolon) {
        const sql = this.#buffer.toString('latin1', this.#start, this.#at);
        this.#skipTo(this.#at + 1);
        return classify(sql);
      }
    }
    if (this.#end - this.#start > maxStatement) throw foreign();
    return undefined;
  }

  #line(): ScriptPart | typeof skipped | undefined {
    const end = this.#buffer.indexOf(newline, this.#at);
    // Behind the end of the window lie bytes of earlier ones.
    if (end < 0 || end >= this.#end) {
      this.#at = this.#end;
      return undefined;
    }
    const line = this.#buffer.toString('utf8', this.#start, end);
    this.#skipTo(end + 1);
    if (this.#mode === 'client') {
      // What the statements for the client hold is not looked at; the very last line must be the end mark.
      this.#lastIsMark = line === endMark;
      return skipped;
    }
    if (line === programsEnd) {
      this.#mode = 'client';
      return skipped;
    }
    if (!line.startsWith('-- ')) throw foreign();
    return { kind: 'program line', line };
  }
  #lastIsMark = false;

  #skipTo(at: number): void {
    this.#start = at;
    this.#at = at;
    this.#quote = 0;
  }
}

/** Definitions of tables are no longer than this. */
const maxStatement = 64 * 1024 * 1024;

const name = '`(?:[^`]|``)*`';
const skippedStatement = new RegExp(
  `^(?:SET [\\s\\S]*|DROP (?:TABLE|SEQUENCE|VIEW) IF EXISTS ${name}|LOCK TABLES ${name} WRITE|UNLOCK TABLES|commit|set autocommit=0)$`,
);
const sequence = new RegExp(`^CREATE SEQUENCE ${name} (?:[A-Za-z0-9_ =-]|'(?:[^'\\\\]|\\\\[\\s\\S]|'')*')+$`);
const value = new RegExp(`^(?:DO|SELECT) SETVAL\\(${name}, -?[0-9]+, [0-9]+(?:, [0-9]+)?\\)$`, 'i');
const table = new RegExp(`^CREATE TABLE ${name} \\(\\n +\``);

function classify(sql: string): ScriptPart | typeof skipped {
  if (skippedStatement.test(sql)) return skipped;
  if (sequence.test(sql)) return { kind: 'sequence', sql };
  if (value.test(sql)) return { kind: 'value', sql };
  if (table.test(sql) && isOnlyTable(sql)) return { kind: 'table', sql };
  throw foreign();
}

/** Behind its columns a definition could go on with a query, or name tables and files of others. */
function isOnlyTable(sql: string): boolean {
  const bare = sql.replaceAll(/'(?:[^'\\]|\\[\s\S]|'')*'|`(?:[^`]|``)*`|"(?:[^"\\]|\\[\s\S]|"")*"/g, '``');
  let depth = 0;
  let tail = 0;
  for (let at = 0; at < bare.length; at++) {
    if (bare[at] === '(') depth++;
    else if (bare[at] === ')' && --depth === 0) {
      tail = at + 1;
      break;
    }
  }
  if (tail === 0) return false;
  // Definitions may hold no queries anyway; names of other schemas stand in references only.
  if (/\bSELECT\b/i.test(bare)) return false;
  return !/\b(?:AS|IGNORE|REPLACE|LIKE|TABLE|WITH(?! SYSTEM VERSIONING)|UNION|CONNECTION|FILE_NAME)\b/i.test(
    bare.slice(tail),
  );
}

function foreign(): ForestayError {
  return new ForestayError(
    'IncompatibleBackup',
    'The backup holds a statement that is not one of a MariaDB backup.',
    { hint: 'Use another backup. Nothing was changed.' },
  );
}
