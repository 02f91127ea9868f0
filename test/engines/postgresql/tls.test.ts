import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { readTarget, type Target } from '../../../src/engines/postgresql/connection.ts';
import { openToolEnvironment } from '../../../src/engines/postgresql/environment.ts';
import { openSession } from '../../../src/engines/postgresql/session.ts';
import { findToolsets, toolPath, usualFolders } from '../../../src/engines/postgresql/tools.ts';
import { runTool } from '../../../src/pipeline/child-process.ts';
import { type PostgresServer, startPostgresServer } from '../../support/postgres-server.ts';

const never = new AbortController().signal;
let server: PostgresServer;
let authority: string;
let otherAuthority: string;

beforeAll(async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tls-'));
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
  const makeAuthority = (name: string) => {
    openssl(
      'req',
      '-x509',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-subj',
      `/CN=${name}`,
      '-days',
      '2',
      '-keyout',
      `${name}.key`,
      '-out',
      `${name}.crt`,
    );
    return readFileSync(join(folder, `${name}.crt`), 'utf8');
  };
  try {
    authority = makeAuthority('authority');
    otherAuthority = makeAuthority('other');
    openssl(
      'req',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-subj',
      '/CN=server',
      '-keyout',
      'server.key',
      '-out',
      'server.csr',
    );
    writeFileSync(join(folder, 'san'), 'subjectAltName=DNS:localhost');
    openssl(
      'x509',
      '-req',
      '-in',
      'server.csr',
      '-CA',
      'authority.crt',
      '-CAkey',
      'authority.key',
      '-CAcreateserial',
      '-days',
      '2',
      '-extfile',
      'san',
      '-out',
      'server.crt',
    );
    server = await startPostgresServer({
      fsync: 'off',
      tls: {
        cert: readFileSync(join(folder, 'server.crt'), 'utf8'),
        key: readFileSync(join(folder, 'server.key'), 'utf8'),
      },
      hba: 'hostssl all all 127.0.0.1/32 scram-sha-256\n',
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
});
afterAll(async () => {
  await server?.stop();
});

/** Host and mode, whose certificate to trust, and whether libpq's rules let it through. */
test.for([
  ['127.0.0.1', 'disable', undefined, false],
  ['127.0.0.1', 'prefer', undefined, true],
  ['127.0.0.1', 'prefer', 'right', true],
  // It falls back to no TLS, as libpq does; this server wants TLS.
  ['127.0.0.1', 'prefer', 'other', false],
  ['127.0.0.1', 'require', undefined, true],
  ['127.0.0.1', 'require', 'right', true],
  ['127.0.0.1', 'require', 'other', false],
  ['127.0.0.1', 'verify-ca', 'right', true],
  ['127.0.0.1', 'verify-ca', 'other', false],
  ['127.0.0.1', 'verify-full', 'right', false],
  ['localhost', 'verify-full', 'right', true],
  ['localhost', 'verify-full', 'other', false],
  ['localhost', 'verify-full', undefined, false],
] as const)(
  '%s with sslmode %s, trusting %s: our sessions and the tools agree on %s',
  async ([host, sslmode, trusted, passes]) => {
    const { password } = new URL(server.adminUrl);
    const sslrootcert = trusted === 'right' ? authority : otherAuthority;
    const target = readTarget({
      host,
      port: server.port,
      database: 'postgres',
      username: 'postgres',
      password,
      sslmode,
      ...(trusted ? { sslrootcert } : {}),
    });
    expect(await connects(target), 'our session').toBe(passes);
    expect(await toolConnects(target), 'psql').toBe(passes);
  },
);

test('a server without TLS is refused by require, and taken by prefer', async () => {
  const { hostname, port, password } = new URL(inject('postgresUrl'));
  const given = { host: hostname, port: Number(port), database: 'postgres', username: 'postgres', password };
  await expect(
    openSession(readTarget({ ...given, sslmode: 'require' }), { signal: never, applicationName: 'x' }),
  ).rejects.toMatchObject({
    code: 'InstanceRefused',
  });
  expect(await connects(readTarget({ ...given, sslmode: 'prefer' }))).toBe(true);
});

async function connects(target: Target): Promise<boolean> {
  try {
    const session = await openSession(target, { signal: never, applicationName: 'tls' });
    const [row] = await session.query<{ ssl: boolean }>(
      'SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()',
    );
    await session.close();
    expect(row?.ssl).toBe(target.port === server.port);
    return true;
  } catch (error) {
    expect(error).toMatchObject({ code: 'InstanceRefused' });
    return false;
  }
}

async function toolConnects(target: Target): Promise<boolean> {
  const [tools] = await findToolsets(usualFolders, never);
  if (!tools) throw new Error('no tools');
  const environment = await openToolEnvironment(target, { applicationName: 'tls' });
  try {
    await runTool(toolPath(tools, 'psql'), ['-X', '-w', '-c', 'SELECT 1'], { env: environment.env });
    return true;
  } catch {
    return false;
  } finally {
    await environment.close();
  }
}
