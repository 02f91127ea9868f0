import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Manifest } from '../../src/core/manifest.ts';
import { encodeManifest } from '../../src/pipeline/signature.ts';
import { passphrases, plaintexts } from './arbitraries.ts';
import { type SealedBackup, sealBackup } from './sealed.ts';

const script = fileURLToPath(new URL('../../docs/restore-without-forestay.sh', import.meta.url));
let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'without-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function restore(
  backup: SealedBackup,
  passphrase: string,
): Promise<{ code: number; stdout: Buffer; stderr: string }> {
  await writeFile(join(folder, 'manifest.json'), encodeManifest(backup.manifest));
  await writeFile(join(folder, 'data'), backup.stored);
  await writeFile(join(folder, 'key'), `${passphrase}\n`);
  return new Promise((resolve) => {
    const options = { encoding: 'buffer', maxBuffer: 1e8 } as const;
    execFile(script, [folder, join(folder, 'key')], options, (error, stdout, stderr) =>
      resolve({ code: error ? Number(error.code) : 0, stdout, stderr: stderr.toString() }),
    );
  });
}

describe('promise 6: the store and the key are enough', () => {
  test('the script restores any backup', async () => {
    const chunkSizes = fc.integer({ min: 100, max: 5000 });
    const compressions = fc.constantFrom('zstd' as const, 'none' as const);
    await fc.assert(
      fc.asyncProperty(
        plaintexts,
        passphrases,
        compressions,
        chunkSizes,
        async (pieces, passphrase, compression, chunkSize) => {
          const restored = await restore(
            await sealBackup(pieces, passphrase, { compression, chunkSize }),
            passphrase,
          );
          expect(restored).toEqual({ code: 0, stdout: Buffer.concat(pieces), stderr: '' });
        },
      ),
      { numRuns: 12 },
    );
  });

  test('the script restores one with the rounds and chunks of real backups', async () => {
    const backup = await sealBackup(Buffer.from('a real one'), 'a passphrase', {
      rounds: 600_000,
      chunkSize: 8 * 1024 * 1024,
    });
    expect((await restore(backup, 'a passphrase')).stdout.toString()).toBe('a real one');
  });

  test('the script refuses a wrong key, a changed manifest and damaged data, and writes nothing', async () => {
    const backup = await sealBackup(Buffer.alloc(5000, 'x'), 'a passphrase', {
      compression: 'none',
      chunkSize: 1000,
    });
    const { manifest, stored } = backup;
    const flipped = Buffer.from(stored);
    flipped.writeUInt8(flipped.readUInt8(2500) ^ 1, 2500);
    const changed: Manifest = { ...manifest, instance_id: '2e2e2e2e-0000-4000-8000-000000000000' };
    const refusals: [SealedBackup, string, number, string][] = [
      [backup, 'another passphrase', 3, 'the encryption key is not the one of this backup'],
      [{ manifest: changed, stored }, 'a passphrase', 3, 'the manifest was changed'],
      [{ manifest, stored: flipped }, 'a passphrase', 4, 'the data is damaged in chunk 3'],
      [{ manifest, stored: stored.subarray(0, -1) }, 'a passphrase', 4, 'its size is not 5016 bytes'],
    ];
    for (const [damaged, passphrase, code, reason] of refusals) {
      const refused = await restore(damaged, passphrase);
      expect(refused.stderr).toContain(reason);
      expect(refused).toMatchObject({ code, stdout: Buffer.alloc(0) });
    }
  });
});
