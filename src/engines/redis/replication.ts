import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { handOver } from '../../pipeline/release.ts';
import { translateError } from './errors.ts';
import { ReplyError } from './resp.ts';
import type { Session } from './session.ts';

/**
 * A copy of everything, at one moment, as a replica gets it
 * (https://redis.io/docs/latest/operate/oss_and_stack/management/replication/, src/replication.c): the server forks, and
 * what follows its answer is an RDB with an announcement before it.
 */
export interface ReplicationStream {
  /**
   * All that follows the answer to PSYNC, in pieces that `release` gives back. It ends when `finish` says so, and when the server
   * ends the connection: whether that was too early the bytes say, of which some may not have been read by then.
   */
  readonly source: Readable;
  /** All that was needed has come. */
  finish(): void;
}

/** Asks for the copy; resolves when the server has begun with it. Takes the session over. */
export async function requestCopy(session: Session): Promise<ReplicationStream> {
  try {
    // `eof`: the RDB may come without its length, straight from the forked process.
    await session.command('REPLCONF', 'capa', 'eof');
    // The RDB only, not what is written meanwhile. Servers before 7.0 do not know it, and send more than is read.
    await session.command('REPLCONF', 'rdb-only', '1').catch(ignoreUnknown);
    const reply = await session.lastCommand('PSYNC', '?', '-1');
    if (!Buffer.isBuffer(reply) || !/^FULLRESYNC /.test(reply.toString('latin1')))
      throw new ReplyError('ERR the server does not begin a full synchronisation');
  } catch (error) {
    session.close();
    throw translateError(error, 'The server gives no copy of its data');
  }
  const { socket, rest } = session.handOver();
  return streamOf(socket, rest);
}

function ignoreUnknown(error: unknown): void {
  if (!(error instanceof ReplyError) || !error.message.startsWith('ERR')) throw error;
}

const buffered = 1024 * 1024;

function streamOf(socket: Socket, rest: Buffer): ReplicationStream {
  let finished = false;
  const source = new Readable({
    highWaterMark: buffered,
    read() {
      socket.resume();
    },
    destroy(error, callback) {
      if (socket.closed) return callback(error);
      socket.once('close', () => callback(error));
      socket.destroy();
    },
  });
  // It may fail before its reader is there; the reader gets the error all the same.
  source.on('error', () => {});
  socket.on('data', (bytes: Buffer) => {
    if (!finished && !source.push(handOver(bytes))) socket.pause();
  });
  socket.on('error', (error) => source.destroy(translateError(error, 'The connection was lost')));
  socket.on('close', () => {
    if (!finished && !source.destroyed) source.push(null);
    finished = true;
  });
  if (rest.length > 0) source.push(rest);
  socket.pause();
  return {
    source,
    finish() {
      if (finished) return;
      finished = true;
      source.push(null);
      socket.destroy();
    },
  };
}
