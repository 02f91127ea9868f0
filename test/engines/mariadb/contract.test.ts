import { afterAll, beforeAll } from 'vitest';
import { createMariadbEngine } from '../../../src/engines/mariadb/engine.ts';
import { describeEngine } from '../../contract/engine-contract.ts';
import { orWhyNot } from '../../storage/filesystem/tmpfs.ts';
import { type MariadbServer, startMariadbServer } from '../../support/mariadb-server.ts';
import { fullMariadb, makeMariadbInstance } from './instance.ts';

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
  full: orWhyNot(() => fullMariadb('superuser')),
});

describeEngine('MariaDB with rights on its own database, in odd names', {
  engine,
  method: 'staged',
  makeInstance: () => makeMariadbInstance(server, 'owner', `-"'\`.%_#\\ ü`),
  full: orWhyNot(() => fullMariadb('owner')),
});
