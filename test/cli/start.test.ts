import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, test } from 'vitest';
import { youngGenerationOption } from '../../src/young-generation.ts';
import { run } from './run.ts';

const launcher = path.join(import.meta.dirname, '../../bin/forestay.js');

/** Runs this in the process before the program, without a file. */
function first(code: string): { env: Record<string, string> } {
  const url = `data:text/javascript;base64,${Buffer.from(code).toString('base64')}`;
  return { env: { NODE_OPTIONS: `--import=${url}` } };
}

test('the executable says which Node it needs instead of failing somewhere inside', async () => {
  const old = first(
    `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '22.20.0' } });`,
  );
  const result = await run(['instance', 'list'], old);
  expect(result).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('needs Node 24') });
});

test('the launcher runs the executable, with its arguments and its exit code', async () => {
  expect(await run(['backup', 'frob'], { program: launcher })).toMatchObject({ code: 2 });
  expect(await run(['--help'], { program: launcher })).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('serve'),
  });
});

test('npm start bounds the space for new objects, which memory is measured with', async () => {
  const { scripts } = JSON.parse(
    await readFile(path.join(import.meta.dirname, '../../package.json'), 'utf8'),
  );
  expect(scripts.start).toBe(`node ${youngGenerationOption} src/main.ts serve`);
});

test('the client commands load nothing of the service', async () => {
  const traced = first(`import { registerHooks } from 'node:module';
    registerHooks({ load(url, context, next) { process.stderr.write(url + '\\n'); return next(url, context); } });`);
  const { stderr } = await run(['backup', 'show', '--help'], traced);
  expect(stderr).toContain('/src/cli/program.ts');
  expect(stderr).not.toMatch(
    /src\/app\.ts|src\/(http|db|operations|jobs|pipeline)\/|fastify|typebox|clack|cli-progress/,
  );
});
