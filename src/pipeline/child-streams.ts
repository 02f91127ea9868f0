import { basename } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { ForestayError } from '../core/errors.ts';
import { handOver, release } from './release.ts';
import type { StderrTail } from './stderr-tail.ts';

/** A program's pipes as streams that tell the truth: they end or finish only after the program exited 0. */

export interface Child {
  readonly stdin: Writable | null;
  readonly stdout: Readable | null;
  readonly stderr: StderrTail;
  /** Resolves when it exited 0 and its outputs are closed; rejects as soon as it is known to have failed. */
  readonly exited: Promise<void>;
  /** Ends it and everything it started; resolves when they are gone. */
  stop(): Promise<void>;
}

/** Bytes read ahead of whoever reads the output, or taken ahead of the program that reads the input. */
const buffered = 256 * 1024;

/** `handedOver`: each chunk is for one reader, who may `release` it and looks at it no more once it is passed on. */
export function outputOf(child: Child, memory: 'kept' | 'handedOver' = 'kept'): Readable {
  const { stdout } = child;
  const readable = new Readable({
    highWaterMark: buffered,
    read() {
      stdout?.resume();
    },
    destroy(error, callback) {
      child.stop().then(() => callback(error), callback);
    },
  });
  stdout?.on('data', (chunk: Buffer) => {
    if (!readable.push(memory === 'handedOver' ? handOver(chunk) : chunk)) stdout.pause();
  });
  stdout?.pause();
  // It may fail before its reader is there; the reader gets the error all the same.
  readable.on('error', () => {});
  return readable;
}

export function inputOf(child: Child, command: string, unreadInput: 'fail' | 'discard'): Writable {
  const { stdin } = child;
  let closed = stdin === null;
  stdin?.on('error', () => {
    closed = true;
  });
  stdin?.once('close', () => {
    closed = true;
  });
  // What the exit code says of bytes that were not taken: a failed program explains itself, a content one must not be lost.
  const refused = (callback: (error?: Error | null) => void) =>
    child.exited.then(() => callback(unreadInput === 'discard' ? null : leftInput(command)), callback);
  const settle = (callback: (error?: Error | null) => void) => child.exited.then(() => callback(), callback);
  return new Writable({
    highWaterMark: buffered,
    write(chunk: Buffer, _encoding, callback) {
      if (!stdin || closed) refused(callback);
      else
        stdin.write(chunk, (error) => {
          if (error) return void refused(callback);
          release(chunk);
          callback();
        });
    },
    final(callback) {
      if (stdin && !closed) stdin.end();
      settle(callback);
    },
    destroy(error, callback) {
      child.stop().then(() => callback(error), callback);
    },
  });
}

function leftInput(command: string): ForestayError {
  const message = `${basename(command)} exited with code 0 before it had read all of its input.`;
  return new ForestayError('ToolFailed', message);
}
