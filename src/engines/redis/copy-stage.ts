import { Transform } from 'node:stream';
import { ForestayError } from '../../core/errors.ts';
import { stageBuffer } from '../../pipeline/join-streams.ts';
import { handOver, release } from '../../pipeline/release.ts';
import { type Announcement, readAnnouncement } from './announcement.ts';
import { Crc64 } from './crc64.ts';
import { unreachable } from './errors.ts';
import { RdbScanner } from './rdb-scanner.ts';
import { Survey } from './survey.ts';

export interface CopyStageOptions {
  readonly product: 'redis' | 'valkey';
  /** Databases that belong to restores of ours, and not to the instance. */
  readonly leaveOut: ReadonlySet<number>;
  /** Called when the RDB is whole: nothing more is needed of the server. */
  readonly onWhole: () => void;
}

export interface CopyStage {
  readonly stage: Transform;
  /** What the RDB holds; complete when the stage has ended. */
  readonly survey: Survey;
}

/**
 * What a server sends a replica in, its RDB out. Takes nobody's word for the end: the RDB's own last record must come, its
 * checksum must be that of what went by, and what the server had announced as the end must be just there.
 */
export function copyStage({ product, leaveOut, onWhole }: CopyStageOptions): CopyStage {
  const survey = new Survey(product, [...leaveOut]);
  const checksum = new Crc64();
  const written = leaveOut.size > 0 ? new Crc64() : undefined;
  let announced: Announcement | undefined;
  let opening: Buffer = Buffer.alloc(0);
  let size = 0;
  let received = 0;
  let whole = false;
  /** Where, in the bytes at hand, what is kept begins; undefined while what goes by is left out. */
  let keptFrom: number | undefined = 0;
  let checksumStart: number | undefined;
  let stated: Buffer = Buffer.alloc(0);
  const out = new Blocks((block) => stage.push(block));

  const keep = (bytes: Buffer, to: number) => {
    if (keptFrom === undefined || to <= keptFrom) return;
    written?.update(bytes, keptFrom, to);
    out.add(bytes.subarray(keptFrom, to));
    keptFrom = to;
  };
  const resume = (bytes: Buffer, at: number) => {
    keep(bytes, at);
    keptFrom ??= at;
  };
  const scanner = new RdbScanner({
    version: (version) => survey.version(version),
    aux: (name, value) => survey.aux(name, value),
    functions: () => survey.functions(),
    moduleData: (module, bytes, at) => {
      survey.moduleData(module);
      resume(bytes, at);
    },
    database: (db, bytes, at) => {
      resume(bytes, at);
      if (leaveOut.has(db)) keptFrom = undefined;
      survey.database(leaveOut.has(db) ? undefined : db);
    },
    key: (key, _bytes, valueAt) => survey.key(key, size + valueAt),
    valueEnd: (key, _bytes, at) => survey.valueEnd(key, size + at),
    end: (bytes, at, checksumAt) => {
      resume(bytes, at);
      keep(bytes, checksumAt);
      checksumStart = checksumAt;
      stated = Buffer.from(bytes.subarray(checksumAt, checksumAt + 8));
    },
    passed: (bytes) => {
      size += bytes.length;
      checksum.update(bytes, 0, checksumStart ?? bytes.length);
      keep(bytes, checksumStart ?? bytes.length);
      if (keptFrom !== undefined) keptFrom = 0;
    },
  });

  const finish = () => {
    const rest = scanner.rest();
    if (announced && 'mark' in announced) {
      if (rest.length < announced.mark.length) return;
      if (!rest.subarray(0, announced.mark.length).equals(announced.mark))
        throw notWhole('its end mark is wrong');
    } else if (announced && announced.length !== size) {
      throw notWhole(`${announced.length} bytes were announced, and its end came after ${size}`);
    }
    const unchecked = stated.every((byte) => byte === 0);
    if (!unchecked && !checksum.digest().equals(stated)) throw notWhole('its checksum is wrong');
    whole = true;
    out.add(unchecked || !written ? stated : written.digest());
    out.end();
    onWhole();
  };

  const take = (bytes: Buffer) => {
    // Older servers go on with what was written meanwhile.
    if (whole) return;
    let payload = bytes;
    if (!announced) {
      opening = Buffer.concat([opening, bytes]);
      const read = readAnnouncement(opening);
      if (!read) return;
      announced = read.announced;
      payload = opening.subarray(read.end);
      opening = Buffer.alloc(0);
    }
    received += payload.length;
    if (payload.length > 0) scanner.feed(payload);
    if (scanner.ended) finish();
    else if ('length' in announced && received >= announced.length)
      throw notWhole(`${announced.length} bytes were announced, and there is no end in them`);
  };

  const stage: Transform = new Transform({
    highWaterMark: stageBuffer,
    transform(bytes: Buffer, _encoding, callback) {
      try {
        take(bytes);
        release(bytes);
        callback();
      } catch (error) {
        callback(error as Error);
      }
    },
    flush(callback) {
      callback(whole ? null : lost());
    },
  });
  return { stage, survey };
}

/**
 * Puts pieces together to blocks that whoever takes them may `release`: what a connection delivers can then be given back at
 * once, whatever of it is kept.
 */
class Blocks {
  readonly #onBlock: (block: Buffer) => void;
  #block = Buffer.allocUnsafeSlow(stageBuffer);
  #filled = 0;

  constructor(onBlock: (block: Buffer) => void) {
    this.#onBlock = onBlock;
  }

  add(bytes: Buffer): void {
    for (let at = 0; at < bytes.length; ) {
      const copied = bytes.copy(this.#block, this.#filled, at);
      at += copied;
      this.#filled += copied;
      if (this.#filled < this.#block.length) return;
      this.#onBlock(handOver(this.#block));
      this.#block = Buffer.allocUnsafeSlow(stageBuffer);
      this.#filled = 0;
    }
  }

  end(): void {
    if (this.#filled > 0) this.#onBlock(this.#block.subarray(0, this.#filled));
  }
}

function notWhole(why: string): ForestayError {
  return new ForestayError('InstanceUnreachable', `The server did not send a whole RDB: ${why}.`, {
    hint: 'Try again. If it happens again, look into the log of the server and at what is between it and this worker.',
  });
}

function lost(): ForestayError {
  return new ForestayError('InstanceUnreachable', 'The server ended the copy before it was whole.', {
    hint: `${unreachable.hint} The log of the server says why: a full disk, too little memory to fork, repl-timeout, or client-output-buffer-limit of replicas.`,
  });
}
