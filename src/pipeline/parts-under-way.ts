import { partMemory } from './part-memory.ts';

/** The parts of one upload that are being sent while the next is filled. */
export interface PartsUnderWay {
  /** Takes note of a part that is being sent; resolves when there is memory to fill the next. */
  add(sending: Promise<void>): Promise<void>;
  /** Resolves when none is under way any more, however they ended. */
  settled(): Promise<void>;
  /** The upload is over. To be called exactly once, when none is under way. */
  close(): void;
}

/** At most `parallel` parts of `partBytes` are held at once, fewer while other uploads need memory. The first failure is told. */
export function partsUnderWay(
  { partBytes, parallel }: { readonly partBytes: number; readonly parallel: number },
  onFailure: (error: unknown) => void,
): PartsUnderWay {
  const underWay = new Set<Promise<void>>();
  const leave = partMemory.enter();
  /** Parts under way for which there is memory besides that of the next one. */
  let spare = 0;
  const mayFillNext = () => {
    if (underWay.size <= spare) return true;
    if (spare + 1 >= parallel || !partMemory.takeSpare(partBytes, (parallel - 1) * partBytes)) return false;
    spare += 1;
    return underWay.size <= spare;
  };
  return {
    async add(sending) {
      const done = sending.catch(onFailure).finally(() => {
        underWay.delete(done);
        for (; spare > underWay.size; spare--) partMemory.giveSpare(partBytes);
      });
      underWay.add(done);
      while (!mayFillNext()) await Promise.race(underWay);
    },
    async settled() {
      await Promise.all(underWay);
    },
    close: leave,
  };
}
