import { expect, test } from 'vitest';
import { createGuard } from '../../../src/engines/postgresql/guard.ts';
import { restricted } from '../../../src/engines/postgresql/load.ts';
import { splitScript } from '../../../src/engines/postgresql/script.ts';

const script = String.raw`--
-- comment with ; and 'quote
--
\restrict abc;def
SET standard_conforming_strings = on;
CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $_$ SELECT ';'; COPY t FROM stdin; -- $$ ' $_$;
CREATE FUNCTION g(a integer) RETURNS text LANGUAGE sql AS 'it''s; \';
CREATE VIEW v AS SELECT E'a\';b', e'\\', 'x'::text AS "odd;""name", $1$2 /* ; /* nested ; */ ' */ , 5 - 3, a$b;
CREATE RULE r AS ON DELETE TO t DO INSTEAD (SELECT 1; SELECT 2);
COPY public.t (a) FROM stdin;
it's $$ " ( -- /*
\\.
\N
\.


COPY public.empty FROM stdin;
\.
ALTER TABLE public."x OWNER TO y;" OWNER TO "o;wner";
COMMIT;
\unrestrict abc
`;
const statements = [
  /^SET standard/,
  /^CREATE FUNCTION f/,
  /^CREATE FUNCTION g/,
  /^CREATE VIEW/,
  /^CREATE RULE/,
  /^COPY public.t /,
  /^COPY public.empty/,
  /^ALTER TABLE/,
  /^COMMIT;$/,
];

test('a script is cut into its statements, wherever its chunks begin and end', async () => {
  for (let size = 1; size < 80; size++) {
    const found: string[] = [];
    let whole = '';
    for await (const { kind, bytes } of splitScript(chunks(script, size))) {
      whole += bytes.toString();
      if (kind === 'statement') found.push(bytes.toString());
    }
    expect(whole).toBe(script);
    expect(found).toHaveLength(statements.length);
    for (const [index, pattern] of statements.entries()) expect(found[index]).toMatch(pattern);
  }
});

test('a script that does not forbid psql to run programs is refused before its first statement', async () => {
  const head = '--\n-- PostgreSQL database dump\n--\n\n';
  const pass = `${head}\\restrict a1B\n\n-- Dumped from database version 15\nSELECT 1;\n\\unrestrict a1B\n`;
  for (const size of [1, 7, 1000]) {
    let whole = '';
    for await (const bytes of restricted(chunks(pass, size))) whole += bytes.toString();
    expect(whole).toBe(pass);
    for (const script of [
      `${head}-- Dumped from database version 15\nSELECT 1;\n`,
      `${head}\\! touch x\n\\restrict a1B\n`,
      `${head}SELECT 1; \\restrict a1B\n`,
      `${head}\\restrict`,
      `-- ${'x'.repeat(5000)}\n\\restrict a1B\n`,
    ]) {
      const passedOn: Buffer[] = [];
      const reading = (async () => {
        for await (const bytes of restricted(chunks(script, size))) passedOn.push(bytes);
      })();
      await expect(reading).rejects.toMatchObject({ code: 'ToolMissing', hint: expect.any(String) });
      expect(passedOn).toEqual([]);
    }
  }
});

test('with standard_conforming_strings off, backslashes hide quotes', async () => {
  const off = String.raw`SET standard_conforming_strings = off; SELECT 'a\';b'; SELECT 2;`;
  expect(await statementsOf(off)).toEqual([expect.anything(), String.raw`SELECT 'a\';b';`, 'SELECT 2;']);
});

test('a script that ends within the rows of a COPY is refused', async () => {
  await expect(statementsOf('COPY t FROM stdin;\na\nb\n')).rejects.toThrow('COPY');
});

const options = { roles: new Set(['there']), isSuperuser: true, versionNumber: 150000, inPlace: false };

test('only ownership, grants and their like are guarded', async () => {
  const pass =
    'CREATE TABLE t (a integer);\nALTER TABLE t ADD PRIMARY KEY (a);\nCREATE POLICY p ON public.t TO there USING (true);\n';
  expect(await rewritten(pass)).toBe(pass);
  for (const guarded of [
    'ALTER TABLE t OWNER TO x;',
    'GRANT SELECT ON t TO x;',
    'ALTER DEFAULT PRIVILEGES FOR ROLE x GRANT SELECT ON TABLES TO y;',
  ]) {
    expect(await rewritten(guarded)).toMatch(
      /^DO \$forestay.*insufficient_privilege OR undefined_object.*;$/s,
    );
  }
});

test('policies lose roles that are missing, and go where none is left', async () => {
  expect(await rewritten('CREATE POLICY p ON public.t FOR SELECT TO gone, there, "Go,ne" USING (a);')).toBe(
    'CREATE POLICY p ON public.t FOR SELECT TO there USING (a);',
  );
  expect(await rewritten('CREATE POLICY p ON public.t TO gone USING (a);')).toBe('');
});

test('a setting that the server is too old for is left out, for newer ones it stays', async () => {
  const setting = 'SET transaction_timeout = 0;';
  expect(await rewritten(setting)).toBe('');
  expect(await rewritten(setting, { ...options, versionNumber: 170000 })).toBe(setting);
});

test("in place, the transaction is not the script's to begin or end", async () => {
  expect(await rewritten('BEGIN;SELECT 1;COMMIT;', { ...options, inPlace: true })).toBe('SELECT 1;');
  await expect(rewritten('ROLLBACK;', { ...options, inPlace: true })).rejects.toThrow('transaction');
});

async function rewritten(text: string, changed = options): Promise<string> {
  let result = '';
  for await (const bytes of createGuard(changed).rewrite(chunks(text, 7))) result += bytes.toString();
  return result;
}

async function statementsOf(text: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { kind, bytes } of splitScript(chunks(text, 5)))
    if (kind === 'statement') found.push(bytes.toString());
  return found;
}

async function* chunks(text: string, size: number): AsyncGenerator<Buffer> {
  const bytes = Buffer.from(text);
  for (let start = 0; start < bytes.length; start += size) yield bytes.subarray(start, start + size);
}
