import { StringDecoder } from 'node:string_decoder';

/** How much of what a program says is kept, in characters; the end is kept, where programs say why they stopped. */
const tailLength = 64 * 1024;
/** Longer lines are passed on in pieces of this many characters. */
const lineLength = 8 * 1024;

/** Takes the bytes of a stderr: keeps a bounded tail of them and passes on whole lines. */
export class StderrTail {
  readonly #decoder = new StringDecoder('utf8');
  readonly #onLine: ((line: string) => void) | undefined;
  #tail = '';
  #line = '';

  constructor(onLine?: (line: string) => void) {
    this.#onLine = onLine;
  }

  get text(): string {
    return this.#tail;
  }

  write(bytes: Buffer): void {
    this.#take(this.#decoder.write(bytes));
  }

  close(): void {
    this.#take(this.#decoder.end());
    if (this.#line !== '') this.#onLine?.(this.#line);
    this.#line = '';
  }

  #take(text: string): void {
    this.#tail = (this.#tail + text).slice(-tailLength);
    if (!this.#onLine) return;
    const lines = (this.#line + text).split('\n');
    this.#line = lines.pop() ?? '';
    for (const line of lines) this.#onLine(line);
    while (this.#line.length > lineLength) {
      this.#onLine(this.#line.slice(0, lineLength));
      this.#line = this.#line.slice(lineLength);
    }
  }
}
