import type { CommandPipe } from './command-pipe.ts';
import { listpackEntries } from './listpack.ts';
import { grammars, type Token, ValueWalker } from './rdb-values.ts';
import type { Argument } from './resp.ts';
import { type Destination, streamCommands } from './stream-elements.ts';
import { unreadable } from './unreadable.ts';

/**
 * Values that are too large for one RESTORE are built from commands of their type. What comes of it is the same value; only
 * how long ago it was used is not kept.
 */
export class ElementWriter {
  readonly #walker: ValueWalker;
  readonly #tokens: Generator<undefined, void, Token>;
  readonly #pipe: CommandPipe;
  readonly #name: Buffer;
  #parts: Buffer[] = [];
  #size = 0;

  constructor(type: number, name: Buffer, pipe: CommandPipe, notKept: string[]) {
    this.#pipe = pipe;
    this.#name = name;
    this.#tokens = writers[type]!({ name, pipe, notKept });
    this.#tokens.next();
    this.#walker = new ValueWalker((token) => this.#tokens.next(token));
    this.#walker.start(grammars.get(type)!);
  }

  /** The next bytes of the value. */
  feed(bytes: Buffer): void {
    this.#parts.push(bytes);
    this.#size += bytes.length;
    if (this.#size < this.#walker.needed) return;
    const all = this.#parts.length === 1 ? bytes : Buffer.concat(this.#parts);
    const rest = all.subarray(this.#walker.walk(all, 0));
    this.#parts = rest.length === 0 ? [] : [rest];
    this.#size = rest.length;
  }

  end(expiresAt: number | undefined): void {
    if (!this.#walker.done || this.#size > 0) unreadable();
    if (expiresAt !== undefined) this.#pipe.command(['PEXPIREAT', this.#name, expiresAt]);
  }
}

export function hasElements(type: number): boolean {
  return type in writers;
}

type Writer = (destination: Destination) => Generator<undefined, void, Token>;

const writers: Readonly<Record<number, Writer>> = {
  1: (to) => singles(to, 'RPUSH'),
  2: (to) => singles(to, 'SADD'),
  3: (to) => pairs(to, 'ZADD', (member, score) => [score, member]),
  4: (to) => pairs(to, 'HSET', (field, value) => [field, value]),
  5: (to) => pairs(to, 'ZADD', (member, score) => [scoreText(score as Buffer), member]),
  15: (to) => streamCommands(to, 1),
  18: quicklist,
  19: (to) => streamCommands(to, 2),
  21: (to) => streamCommands(to, 3),
};

function* singles(to: Destination, command: string): Generator<undefined, void, Token> {
  const batch = new Batch(to, command);
  const count = Number(yield);
  for (let item = 0; item < count; item++) batch.add(yield);
  batch.send();
  yield;
}

function* pairs(
  to: Destination,
  command: string,
  order: (first: Token, second: Token) => Argument[],
): Generator<undefined, void, Token> {
  const batch = new Batch(to, command);
  const count = Number(yield);
  for (let item = 0; item < count; item++) {
    const first = yield;
    batch.add(...order(first, yield));
  }
  batch.send();
  yield;
}

/** Nodes of a list: one large element as it is, or a listpack of small ones. */
function* quicklist(to: Destination): Generator<undefined, void, Token> {
  const batch = new Batch(to, 'RPUSH');
  const count = Number(yield);
  for (let node = 0; node < count; node++) {
    const container = Number(yield);
    const bytes = (yield) as Buffer;
    if (container === 1) batch.add(bytes);
    else for (const element of listpackEntries(bytes)) batch.add(element);
  }
  batch.send();
  yield;
}

function scoreText(bytes: Buffer): string {
  const score = bytes.readDoubleLE();
  if (Object.is(score, -0)) return '-0';
  return Number.isFinite(score) ? String(score) : score > 0 ? '+inf' : '-inf';
}

const batchBytes = 256 * 1024;
const batchArguments = 2000;

/** Puts elements together, as many as a server takes without keeping others waiting. */
class Batch {
  readonly #to: Destination;
  readonly #command: string;
  #args: Argument[] = [];
  #size = 0;

  constructor(to: Destination, command: string) {
    this.#to = to;
    this.#command = command;
  }

  add(...args: Argument[]): void {
    for (const arg of args) this.#size += arg instanceof Uint8Array ? arg.length : 20;
    this.#args.push(...args);
    if (this.#size >= batchBytes || this.#args.length >= batchArguments) this.send();
  }

  send(): void {
    if (this.#args.length > 0) this.#to.pipe.command([this.#command, this.#to.name, ...this.#args]);
    this.#args = [];
    this.#size = 0;
  }
}
