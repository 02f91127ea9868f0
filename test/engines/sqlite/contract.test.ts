import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { createSqliteEngine } from '../../../src/engines/sqlite/engine.ts';
import { describeEngine } from '../../contract/engine-contract.ts';
import { orWhyNot } from '../../storage/filesystem/tmpfs.ts';
import { fullSqlite, makeSqlite } from './instance.ts';

const root = mkdtempSync(join(tmpdir(), 'sqlite-root-'));
afterAll(() => rmSync(root, { recursive: true }));
const engine = createSqliteEngine({ roots: [root], forbidden: [] });

for (const journal of ['wal', 'delete'] as const) {
  describeEngine(`sqlite (journal: ${journal})`, {
    engine,
    method: 'staged',
    makeInstance: () => makeSqlite((path) => engine.parseConnection({ path }), journal, root),
    full: orWhyNot(() =>
      fullSqlite(
        (disk) => createSqliteEngine({ roots: [disk], forbidden: [] }),
        ({ parseConnection }, path) => parseConnection({ path }),
        journal,
      ),
    ),
  });
}
