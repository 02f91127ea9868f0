import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { makeSqlite } from '../../engines/sqlite/instance.ts';

/** For the recovery between two sites: each root is a machine of its own, with a program that has the database open. */
export const sqlite = {
  engine: 'sqlite',
  async startServer() {
    const root = await mkdtemp(path.join(tmpdir(), 'sqlite-site-'));
    const database = await makeSqlite((file) => ({ path: file }), 'wal', root);
    return {
      connection: { path: database.database },
      siteSettings: { FORESTAY_FILES_ROOTS: root },
      async fill() {
        await database.fill('bulk');
        await database.fill('hostile');
      },
      change: () => database.write(),
      fingerprint: (): Promise<unknown> => database.fingerprint(),
      async close() {
        await database.close();
        await rm(root, { recursive: true });
      },
    };
  },
};
