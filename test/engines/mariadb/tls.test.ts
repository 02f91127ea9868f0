import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createMariadbEngine } from '../../../src/engines/mariadb/engine.ts';
import { type MariadbServer, startMariadbServer } from '../../support/mariadb-server.ts';
import { type MariadbInstance, makeMariadbInstance } from './instance.ts';

const engine = createMariadbEngine();
const never = new AbortController().signal;
let server: MariadbServer;
let plain: MariadbServer;
let instance: MariadbInstance;
let authority: string;
let otherAuthority: string;

beforeAll(async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tls-'));
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
  const request = (name: string, ...more: string[]) =>
    openssl(
      'req',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-subj',
      `/CN=${name}`,
      '-keyout',
      `${name}.key`,
      ...more,
    );
  const makeAuthority = (name: string) => {
    request(name, '-x509', '-days', '2', '-out', `${name}.crt`);
    return readFileSync(join(folder, `${name}.crt`), 'utf8');
  };
  try {
    authority = makeAuthority('authority');
    otherAuthority = makeAuthority('other');
    request('server', '-out', 'server.csr');
    writeFileSync(join(folder, 'san'), 'subjectAltName=DNS:localhost');
    const signed = ['-CA', 'authority.crt', '-CAkey', 'authority.key', '-CAcreateserial', '-days', '2'];
    openssl('x509', '-req', '-in', 'server.csr', ...signed, '-extfile', 'san', '-out', 'server.crt');
    const [cert, key] = ['crt', 'key'].map((suffix) =>
      readFileSync(join(folder, `server.${suffix}`), 'utf8'),
    );
    server = await startMariadbServer({ fsync: 'off', tls: { cert: cert ?? '', key: key ?? '' } });
    plain = await startMariadbServer({ fsync: 'off' });
  } finally {
    rmSync(folder, { recursive: true });
  }
  instance = await makeMariadbInstance(server, 'owner');
  await instance.admin(`ALTER USER '${instance.user}'@'%' REQUIRE SSL`);
});
afterAll(async () => {
  await server.stop();
  await plain.stop();
});

const connect = (fields: object) => engine.parseConnection({ ...instance.connection, ...fields });

test.for([
  ['prefer', {}],
  ['require', {}],
  ['verify-ca', { authority: true }],
  ['verify-full', { authority: true, host: 'localhost' }],
] as const)('sslmode %s reaches the server over TLS, by session and tool alike', async ([sslmode, how]) => {
  const connection = connect({
    sslmode,
    ...('authority' in how ? { sslrootcert: authority } : {}),
    ...('host' in how ? { host: how.host } : {}),
  });
  await engine.probe(connection, never);
  const { stream } = await engine.backUp(connection, never);
  expect((await buffer(stream)).length).toBeGreaterThan(100);
});

test('no TLS, another authority and another name are refused', async () => {
  const refused = { code: 'InstanceRefused', hint: expect.any(String) };
  for (const fields of [
    { sslmode: 'disable' },
    { sslmode: 'verify-ca', sslrootcert: otherAuthority },
    { sslmode: 'require', sslrootcert: otherAuthority },
    { sslmode: 'verify-full', sslrootcert: authority, host: '127.0.0.1' },
    { sslmode: 'verify-full', host: 'localhost' },
  ])
    await expect(
      engine.probe(connect(fields), never),
      JSON.stringify(Object.keys(fields)),
    ).rejects.toMatchObject(refused);
});

test('a server without TLS is spoken to in plain only where that is allowed', async () => {
  const there = await makeMariadbInstance(plain, 'owner');
  const at = (sslmode: string) => engine.parseConnection({ ...there.connection, sslmode });
  const { stream } = await engine.backUp(at('prefer'), never);
  expect((await buffer(stream)).length).toBeGreaterThan(100);
  await expect(engine.probe(at('require'), never)).rejects.toMatchObject({ code: 'InstanceRefused' });
});
