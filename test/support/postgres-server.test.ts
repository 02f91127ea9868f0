import { tmpdir } from 'node:os';
import pg from 'pg';
import { expect, inject, test } from 'vitest';

test('the server of the run takes connections with its password only', async () => {
  const client = new pg.Client({ connectionString: inject('postgresUrl') });
  await client.connect();
  await client.end();
  const other = new pg.Client({ connectionString: inject('postgresUrl').replace(/:[^:@]+@/, ':wrong@') });
  await expect(other.connect()).rejects.toMatchObject({ code: '28P01' });
});

test('temp folders of tests lie in the folder of the run', () => {
  expect(tmpdir()).toBe(process.env.FORESTAY_TEST_RUN);
});
