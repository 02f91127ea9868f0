import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Bench } from '../bench.ts';
import { runScript } from '../process.ts';
import type { EngineRival, RivalServer } from './rival.ts';

/**
 * A folder of large files against GNU tar. Both read from the disk: folders of which backups take long do not fit into
 * memory, so what is measured here must not come out of it either.
 */
export const filesRival: EngineRival = {
  engine: 'files',
  // GNU tar does not read the files when it sees that its output is /dev/null.
  rivals: {
    backup: 'tar c > /dev/null (through cat), from the disk',
    restore: 'tar x of a local file, sync',
  },
  targets: { backup: 1.15, restore: 1.25 },
  start,
};

async function start(bench: Bench): Promise<RivalServer> {
  const { signal } = bench;
  const root = await mkdtemp(join(bench.folder, 'files-'));
  const folder = join(root, 'uploads');
  const restored = join(root, 'restored');
  await mkdir(folder);
  return {
    connection: { path: folder },
    fill: (bytes) => fill(folder, bytes, signal),
    async settle() {
      await rm(restored, { recursive: true, force: true });
      // Writes back what is not on the disk yet, and takes it out of the page cache: the folder, the archive, the store.
      await runScript(
        'sync -f "$FOLDER"; find "$FOLDER" -type f -size +1M -exec dd of={} oflag=nocache conv=notrunc,fdatasync count=0 status=none ";"',
        { signal, env: { FOLDER: bench.folder } },
      );
    },
    tool: {
      env: { FOLDER: folder, RESTORED: restored },
      dump: 'tar --create --file=- --directory="$FOLDER" .',
      nowhere: '| cat > /dev/null',
      // A restore that is not on the disk is none: Forestay's ends with the same sync.
      load: 'mkdir "$RESTORED"; tar --extract --file=- --directory="$RESTORED"; sync -f "$RESTORED"',
    },
    [Symbol.asyncDispose]: () => rm(root, { recursive: true, force: true }),
  };
}

const fileBytes = 64 * 1024 * 1024;
const pieceBytes = 1024 * 1024;

/** Half of it like pictures and films (random bytes, which nothing makes smaller), half like logs. */
async function fill(folder: string, bytes: number, signal: AbortSignal): Promise<void> {
  const size = Math.min(fileBytes, Math.ceil(bytes / 4));
  const log = logLines(4 * pieceBytes);
  for (let at = 0, index = 0; at < bytes; at += size, index++) {
    const isLog = index % 2 === 1;
    const file = await open(join(folder, `${index}.${isLog ? 'log' : 'mp4'}`), 'wx');
    try {
      for (let written = 0; written < size; written += pieceBytes) {
        signal.throwIfAborted();
        const from = written % log.length;
        const piece = isLog ? log.subarray(from, from + pieceBytes) : randomBytes(pieceBytes);
        await file.writeFile(piece.subarray(0, size - written));
      }
    } finally {
      await file.close();
    }
  }
}

function logLines(bytes: number): Buffer {
  const lines: string[] = [];
  for (let length = 0, index = 0; length < bytes; index++) {
    const number = randomBytes(4).readUInt32LE();
    const at = new Date(1.7e12 + index * 37).toISOString();
    const line = `${at} info GET /orders/${number % 100_000} 200 ${number % 977}ms agent-${number % 61}\n`;
    lines.push(line);
    length += line.length;
  }
  return Buffer.from(lines.join('')).subarray(0, bytes);
}
