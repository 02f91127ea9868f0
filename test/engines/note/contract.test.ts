import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describeEngine, type InstanceFixture } from '../../contract/engine-contract.ts';
import { killProcessesWith } from '../processes.ts';
import { createNoteEngine } from './engine.ts';

const engine = createNoteEngine();

describeEngine('note', {
  engine,
  method: 'staged',
  whileWritten: 'not promised',
  makeInstance,
  full: { notRun: 'a note is an example, and says ToolFailed' },
});

async function makeInstance(): Promise<InstanceFixture> {
  const folder = await mkdtemp(join(tmpdir(), 'note-'));
  const file = join(folder, 'note');
  await writeFile(file, '');
  return {
    connection: engine.parseConnection({ file }),
    unreachable: engine.parseConnection({ file: join(folder, 'missing') }),
    fill: (kind) => writeFile(file, kind === 'bulk' ? randomBytes(5_000_000) : '\0\r\n"\'$(x) ü 🦫'),
    fingerprint: async () => (await readFile(file)).toString('base64'),
    write: () => writeFile(file, 'more', { flag: 'a' }),
    startWriting: async () => ({ stop: async () => {} }),
    isConsistent: async () => true,
    killSource: () => killProcessesWith(file),
    remains: async () => (await readdir(folder)).filter((name) => name.includes('.staged-')),
    close: () => rm(folder, { recursive: true }),
  };
}
