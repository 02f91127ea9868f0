import { stripVTControlCharacters, styleText } from 'node:util';
import { SingleBar } from 'cli-progress';

/** Tells the story on stdout: with colours and progress bars on a terminal, in plain lines elsewhere. */
export interface Narrator {
  /** A numbered heading. */
  act(title: string): void;
  /** Sentences for the reader. */
  say(text: string): void;
  /** Something that a person would type or send. */
  quote(text: string): void;
  /** A promise that was kept. */
  good(text: string): void;
  /** Something that went wrong. */
  bad(text: string): void;
  table(rows: readonly (readonly string[])[]): void;
  /** Runs something that takes a moment, showing how far it is; resolves with its result. */
  during<T>(what: string, work: (progress: Progress) => Promise<T>): Promise<T>;
}

/** How far it is, from 0 to 1, undefined where that is not known; and what it is doing. */
export type Progress = (fraction: number | undefined, doing: string) => void;

export function createNarrator(stream: NodeJS.WriteStream = process.stdout): Narrator {
  let acts = 0;
  const write = (line = '') => void stream.write(`${line}\n`);
  // `styleText` leaves colours out where the stream is no terminal, and where NO_COLOR is set.
  const style = (format: 'bold' | 'cyan' | 'green' | 'red', text: string) =>
    styleText(format, text, { stream });
  const good = (text: string) => write(`  ${style('green', '✓')} ${text}`);
  return {
    act(title) {
      acts += 1;
      write();
      write(style('bold', `${acts}. ${title}`));
    },
    say: (text) => {
      for (const line of wrap(text, 96)) write(`  ${line}`);
    },
    quote: (text) => write(`    ${style('cyan', text)}`),
    good,
    bad: (text) => write(`  ${style('red', '✗')} ${text}`),
    table(rows) {
      const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
      for (const [at, row] of rows.entries()) {
        const cells = row.map((cell, column) => cell.padEnd(widths?.[column] ?? 0));
        write(`  ${at === 0 ? style('bold', cells.join('  ')) : cells.join('  ')}`.trimEnd());
      }
    },
    async during(what, work) {
      const startedAt = performance.now();
      const result = stream.isTTY ? await withBar(stream, what, work) : await withLine(write, what, work);
      good(`${what} (${seconds(performance.now() - startedAt)})`);
      return result;
    },
  };
}

/** `12.3 s`, of milliseconds. */
export const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;
/** `194 MB`, of bytes; decimal, as disks are sold. */
export const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;
/** `1,234,567`. */
export const count = (number: number) => number.toLocaleString('en-US');

async function withLine<T>(
  write: (line: string) => void,
  what: string,
  work: (progress: Progress) => Promise<T>,
): Promise<T> {
  write(`  … ${what}`);
  return work(() => {});
}

const barWidth = 24;

async function withBar<T>(
  stream: NodeJS.WriteStream,
  what: string,
  work: (progress: Progress) => Promise<T>,
): Promise<T> {
  let at: number | undefined;
  let state = '';
  const bar = new SingleBar({
    stream,
    hideCursor: true,
    clearOnComplete: true,
    // Drawn again and again, so that the one of unknown length moves.
    format: () => {
      const line = `  ${cells(at)} ${what}${state === '' ? '' : `: ${state}`}`;
      return stripVTControlCharacters(line).slice(0, Math.max(20, (stream.columns ?? 80) - 1));
    },
  });
  bar.start(1, 0);
  try {
    return await work((fraction, doing) => {
      at = fraction;
      state = doing;
    });
  } finally {
    bar.stop();
  }
}

function cells(fraction: number | undefined): string {
  if (fraction !== undefined) {
    const full = Math.round(Math.min(1, Math.max(0, fraction)) * barWidth);
    return '█'.repeat(full) + '░'.repeat(barWidth - full);
  }
  const head = Math.floor(performance.now() / 120) % barWidth;
  return Array.from({ length: barWidth }, (_, cell) =>
    (cell - head + barWidth) % barWidth < 4 ? '█' : '░',
  ).join('');
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/\s+/)) {
    if (line !== '' && line.length + word.length >= width) {
      lines.push(line);
      line = '';
    }
    line += line === '' ? word : ` ${word}`;
  }
  return line === '' ? lines : [...lines, line];
}
