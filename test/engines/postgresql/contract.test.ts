import { tmpdir } from 'node:os';
import { inject } from 'vitest';
import { createPostgresqlEngine } from '../../../src/engines/postgresql/engine.ts';
import { describeEngine } from '../../contract/engine-contract.ts';
import { orWhyNot } from '../../storage/filesystem/tmpfs.ts';
import { killProcessesWith } from '../processes.ts';
import { fullPostgres, makePostgresInstance } from './instance.ts';

const adminUrl = inject('postgresUrl');
const engine = createPostgresqlEngine();

describeEngine('PostgreSQL as a superuser', {
  engine,
  method: 'staged',
  makeInstance: () => makePostgresInstance(adminUrl, 'superuser'),
  full: orWhyNot(() => fullPostgres(adminUrl, 'superuser')),
});

describeEngine('PostgreSQL as the owner, in odd names', {
  engine,
  method: 'staged',
  makeInstance: () => makePostgresInstance(adminUrl, 'owner', `-"' host=evil \\ ü`),
  full: orWhyNot(() => fullPostgres(adminUrl, 'owner')),
});

describeEngine('PostgreSQL as an owner who may not create databases', {
  engine,
  method: 'in place',
  makeInstance: () => makePostgresInstance(adminUrl, 'no createdb'),
  full: orWhyNot(() => fullPostgres(adminUrl, 'no createdb')),
});

const inParallel = <T extends object>(connection: T) => ({ ...connection, parallel: 3 });

describeEngine('PostgreSQL with parallel jobs', {
  engine,
  method: 'staged',
  makeInstance: async () => {
    const instance = await makePostgresInstance(adminUrl, 'owner');
    return {
      ...instance,
      connection: inParallel(instance.connection),
      wrong: { connection: inParallel(instance.wrong.connection), secret: instance.wrong.secret },
      // More than fits into all buffers between tar and who reads, so that tar is at work until everything is read.
      fill: async (kind) => {
        await instance.fill(kind);
        if (kind === 'bulk') await instance.grow?.(8);
      },
      // By the time there is something to read, the server has done its part.
      killSource: () => killProcessesWith(`--directory=${tmpdir()}`),
    };
  },
  full: orWhyNot(() =>
    fullPostgres(adminUrl, 'owner', (instance) => ({
      ...instance,
      connection: inParallel(instance.connection),
    })),
  ),
});
