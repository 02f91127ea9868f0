import { afterAll, beforeAll } from 'vitest';
import { createMariadbEngine } from '../../../src/engines/mariadb/engine.ts';
import { describeEngine } from '../../contract/engine-contract.ts';
import { type MariadbServer, startMariadbServer } from '../../support/mariadb-server.ts';
import { makeMariadbInstance } from './instance.ts';

let server: MariadbServer;
beforeAll(async () => {
  server = await startMariadbServer({ fsync: 'off' });
});
afterAll(() => server.stop());

const engine = createMariadbEngine();

describeEngine('MariaDB with all rights', {
  engine,
  method: 'staged',
  makeInstance: () => makeMariadbInstance(server, 'superuser'),
});

describeEngine('MariaDB with rights on its own database, in odd names', {
  engine,
  method: 'staged',
  makeInstance: () => makeMariadbInstance(server, 'owner', `-"'\`.%_#\\ ü`),
});
