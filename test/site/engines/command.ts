import { rm } from 'node:fs/promises';
import path from 'node:path';
import { copyExamples } from '../../engines/command/instance.ts';
import { makeSqlite } from '../../engines/sqlite/instance.ts';

/** For the recovery between two sites: the documentation's commands for SQLite, set up at each of them. */
export const command = {
  engine: 'command',
  async startServer() {
    const commands = await copyExamples();
    const database = await makeSqlite(
      (file) => ({ command: 'sqlite', parameters: { DATABASE: file } }),
      'delete',
    );
    return {
      connection: database.connection,
      siteSettings: { FORESTAY_COMMANDS_FILE: path.join(commands, 'commands.json') },
      async fill() {
        await database.fill('bulk');
        await database.fill('hostile');
      },
      change: () => database.write(),
      fingerprint: (): Promise<unknown> => database.fingerprint(),
      async close() {
        await database.close();
        await rm(commands, { recursive: true });
      },
    };
  },
};
