import { runScript } from '../process.ts';
import type { RivalTool } from './rival.ts';

/**
 * What Forestay does on the way from an engine to a store, and back, made of standard programs: digests of the plaintext and
 * of the stored bytes, zstd at level 1, AES-256-CTR, and the file on the disk. A yardstick for what these steps cost on a
 * machine, not the least that they can cost: between programs, bytes are copied more often than within one.
 */

/** For people. */
export const standardSteps = {
  backup: 'its output through sha256sum, zstd -1, openssl enc, sha256sum to a file, sync',
  restore: 'its input through sha256sum, openssl enc -d, zstd -d, sha256sum',
};

const cipher = '-aes-256-ctr -pbkdf2 -iter 600000 -md sha256 -pass env:SEAL_PASSPHRASE';
const digested = 'tee >(sha256sum > /dev/null)';
const seal = `zstd -1 -T1 -q | openssl enc ${cipher}`;

/** Seconds of a backup into `file`. */
export function dumpInSteps(tool: RivalTool, file: string, signal: AbortSignal): Promise<number> {
  return runScript(
    `{ ${tool.dump}; } | ${digested} | ${seal} | ${digested} > "$SEALED"; wait; sync "$SEALED"`,
    { signal, env: { ...tool.env, ...sealedAt(file) } },
  );
}

/** Seconds of a restore from `file`, which `sealInSteps` made. */
export function loadInSteps(tool: RivalTool, file: string, signal: AbortSignal): Promise<number> {
  return runScript(
    `${digested} < "$SEALED" | openssl enc -d ${cipher} | zstd -d -q | ${digested} | { ${tool.load}; }; wait`,
    { signal, env: { ...tool.env, ...sealedAt(file) } },
  );
}

/** Makes `<file>.sealed` of a file that `tool.load` reads, and resolves with its path. */
export async function sealInSteps(file: string, signal: AbortSignal): Promise<string> {
  const sealed = `${file}.sealed`;
  await runScript(`{ ${seal}; } < "$PLAIN" > "$SEALED"`, {
    signal,
    env: { PLAIN: file, ...sealedAt(sealed) },
  });
  return sealed;
}

function sealedAt(file: string): Readonly<Record<string, string>> {
  return { SEALED: file, SEAL_PASSPHRASE: 'a passphrase' };
}
