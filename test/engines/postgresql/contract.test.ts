import { inject } from 'vitest';
import { createPostgresqlEngine } from '../../../src/engines/postgresql/engine.ts';
import { describeEngine } from '../../contract/engine-contract.ts';
import { makePostgresInstance } from './instance.ts';

const adminUrl = inject('postgresUrl');
const engine = createPostgresqlEngine();

describeEngine('PostgreSQL as a superuser', {
  engine,
  method: 'staged',
  makeInstance: () => makePostgresInstance(adminUrl, 'superuser'),
});

describeEngine('PostgreSQL as the owner, in odd names', {
  engine,
  method: 'staged',
  makeInstance: () => makePostgresInstance(adminUrl, 'owner', `-"' host=evil \\ ü`),
});

describeEngine('PostgreSQL as an owner who may not create databases', {
  engine,
  method: 'in place',
  makeInstance: () => makePostgresInstance(adminUrl, 'no createdb'),
});
