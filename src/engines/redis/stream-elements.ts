import type { CommandPipe } from './command-pipe.ts';
import { listpackEntries } from './listpack.ts';
import type { Token } from './rdb-values.ts';
import { unreadable } from './unreadable.ts';

/** Where a value is built, and who is told what of it could not be. */
export interface Destination {
  readonly name: Buffer;
  readonly pipe: CommandPipe;
  readonly notKept: string[];
}

type Tokens = Generator<undefined, void, Token>;

/**
 * A stream from commands, in the way in which Redis itself rewrites one for its log (src/aof.c, rewriteStreamObject).
 * `version`: how much an RDB tells of it.
 */
export function* streamCommands(to: Destination, version: 1 | 2 | 3): Tokens {
  const { pipe, name } = to;
  const nodes = Number(yield);
  for (let node = 0; node < nodes; node++) {
    const first = (yield) as Buffer;
    for (const { id, pairs } of entriesOf(first, (yield) as Buffer))
      pipe.command(['XADD', name, id, ...pairs]);
  }
  const length = Number(yield);
  const last = idOf(yield, yield);
  // An empty stream has a last id all the same.
  if (length === 0) pipe.command(['XADD', name, 'MAXLEN', 0, last === '0-0' ? '0-1' : last, 'x', 'y']);
  if (version >= 2) {
    yield;
    yield;
    const deleted = idOf(yield, yield);
    pipe.command(['XSETID', name, last, 'ENTRIESADDED', String(yield), 'MAXDELETEDID', deleted]);
  } else pipe.command(['XSETID', name, last]);
  const groups = Number(yield);
  let lost = 0;
  for (let group = 0; group < groups; group++) {
    yield* groupCommands(to, version, () => {
      lost += 1;
      if (lost === 1) {
        to.notKept.push(
          `The stream ${JSON.stringify(name.toString('utf8').slice(0, 200))} is so large that it was built anew: messages that were deleted, but not acknowledged, are not pending any more.`,
        );
      }
    });
  }
  yield;
}

function* groupCommands({ pipe, name }: Destination, version: number, onLost: () => void): Tokens {
  const group = (yield) as Buffer;
  const last = idOf(yield, yield);
  const read = version >= 2 ? ['ENTRIESREAD', signed(yield)] : [];
  pipe.command(['XGROUP', 'CREATE', name, group, last, ...read]);
  const pending = new Map<string, { time: bigint; count: Token }>();
  const pendings = Number(yield);
  for (let index = 0; index < pendings; index++) {
    const id = ((yield) as Buffer).toString('latin1');
    const time = ((yield) as Buffer).readBigInt64LE();
    pending.set(id, { time, count: yield });
  }
  const consumers = Number(yield);
  for (let index = 0; index < consumers; index++) {
    const consumer = (yield) as Buffer;
    // When it was last seen, and last active.
    for (let time = 0; time < (version >= 3 ? 2 : 1); time++) yield;
    pipe.command(['XGROUP', 'CREATECONSUMER', name, group, consumer]);
    const own = Number(yield);
    for (let message = 0; message < own; message++) {
      const id = ((yield) as Buffer).toString('latin1');
      const { time, count } = pending.get(id) ?? unreadable();
      const options = ['TIME', time, 'RETRYCOUNT', String(count), 'FORCE', 'JUSTID'];
      pipe.command(
        ['XCLAIM', name, group, consumer, 0, rawId(Buffer.from(id, 'latin1')), ...options],
        (reply) => {
          if (Array.isArray(reply) && reply.length === 0) onLost();
        },
      );
    }
  }
}

/** The entries of one node: differences to its first id, and often the same fields (src/t_stream.c, streamAppendItem). */
function* entriesOf(
  first: Buffer,
  listpack: Buffer,
): Generator<{ id: string; pairs: (Buffer | number | bigint)[] }> {
  const ms = first.readBigUInt64BE(0);
  const seq = first.readBigUInt64BE(8);
  const items = listpackEntries(listpack);
  const next = () => {
    const { value, done } = items.next();
    return done ? unreadable() : value;
  };
  const count = Number(next()) + Number(next());
  const masterFields = Array.from({ length: Number(next()) }, next);
  next();
  for (let entry = 0; entry < count; entry++) {
    const flags = Number(next());
    const id = `${ms + BigInt(next() as number)}-${seq + BigInt(next() as number)}`;
    const pairs: (Buffer | number | bigint)[] = [];
    if ((flags & sameFields) !== 0) for (const field of masterFields) pairs.push(field, next());
    else for (let left = 2 * Number(next()); left > 0; left--) pairs.push(next());
    next();
    if ((flags & deleted) === 0) yield { id, pairs };
  }
}

const deleted = 1;
const sameFields = 2;

/** Not known is stored as -1. */
function signed(token: Token): bigint {
  return BigInt.asIntN(64, BigInt(String(token)));
}

function idOf(ms: Token, seq: Token): string {
  return `${ms}-${seq}`;
}

function rawId(bytes: Buffer): string {
  return `${bytes.readBigUInt64BE(0)}-${bytes.readBigUInt64BE(8)}`;
}
