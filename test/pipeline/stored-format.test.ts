import { readFileSync } from 'node:fs';
import { beforeAll, expect, test } from 'vitest';
import { type Manifest, parseManifest } from '../../src/core/manifest.ts';
import { deriveKeys } from '../../src/pipeline/derive-keys.ts';
import { encodeManifest } from '../../src/pipeline/signature.ts';
import { openBackup } from './sealed.ts';

const document = readFileSync(new URL('../../docs/stored-format.md', import.meta.url), 'utf8');
const value = (name: string) => new RegExp(`^ {4}${name} {2,}([^=\n]+)$`, 'm').exec(document)?.[1] ?? '';
const line = (start: string) => new RegExp(`^ {4}(${start}.+)$`, 'm').exec(document)?.[1] ?? '';

let manifest: Manifest;
beforeAll(() => {
  manifest = parseManifest(Buffer.from(line('\\{"backup_guid')));
});

test('the documented keys are derived from the documented passphrase', async () => {
  const keys = await deriveKeys(
    value('passphrase'),
    Buffer.from(value('salt'), 'hex'),
    Number(value('rounds')),
  );
  expect(keys.key.toString('hex')).toBe(value('derived key'));
  expect(keys.iv.toString('hex')).toBe(value('derived iv'));
  expect(keys.macKey.toString('hex')).toBe(value('macKey'));
  expect(keys.plaintextMacKey.toString('hex')).toBe(value('plaintextMacKey'));
});

test('the documented backup opens, byte for byte as documented', async () => {
  const stored = Buffer.from(line('53616c7465645f5f'), 'hex');
  expect((await openBackup({ manifest, stored }, value('passphrase'))).toString()).toBe(
    'Forestay test vector\n',
  );
  expect(encodeManifest(manifest).toString()).toBe(`${line('\\{"backup_guid')}\n`);
});

test('every field of the manifest is documented', () => {
  for (const field of Object.keys(manifest)) expect(document).toContain(`\`${field}\``);
});
