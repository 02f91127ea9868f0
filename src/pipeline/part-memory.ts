/**
 * The buffers of all multipart uploads of a process. Every upload may hold one part; to fill the next while others are under way
 * it needs a share of what is spare. What all of them may hold is bounded, so the more there are, the less is
 * spare: one upload alone is as fast as it can be, and many at once hold a part each.
 */
export interface PartMemory {
  /** To be called when an upload begins; returns what is to be called at its end, exactly once. */
  enter(): () => void;
  /** Whether the part may be held besides the first one. `alone`: bytes that an upload which is the only one may always have. */
  takeSpare(bytes: number, alone: number): boolean;
  giveSpare(bytes: number): void;
  /** A buffer of that size, used before or new. */
  take(bytes: number): Buffer;
  /** For a later part, of whichever upload. */
  give(buffer: Buffer): void;
}

/** Bytes that all uploads together may hold, unless a part each is more. */
const usualBudget = 128 * 1024 * 1024;

export function makePartMemory(budget = usualBudget): PartMemory {
  const free: Buffer[] = [];
  let uploads = 0;
  let taken = 0;
  return {
    enter() {
      uploads += 1;
      return () => {
        uploads -= 1;
        // A service that has nothing to do holds nothing.
        if (free.length > uploads) free.length = uploads;
      };
    },
    takeSpare(bytes, alone) {
      const spare = budget - uploads * bytes;
      if (taken + bytes > (uploads === 1 ? Math.max(spare, alone) : spare)) return false;
      taken += bytes;
      return true;
    },
    giveSpare(bytes) {
      taken -= bytes;
    },
    take(bytes) {
      const at = free.findLastIndex(({ length }) => length === bytes);
      return at < 0 ? Buffer.allocUnsafeSlow(bytes) : free.splice(at, 1)[0]!;
    },
    give(buffer) {
      free.push(buffer);
    },
  };
}

/** All stores of the process share it. */
export const partMemory = makePartMemory();
