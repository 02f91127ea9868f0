import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { makeEngines } from '../../src/app.ts';
import { readConfig } from '../../src/config.ts';

const read = (file: string) => readFile(new URL(`../../${file}`, import.meta.url), 'utf8');
const engines = makeEngines(readConfig({}));

test.for(engines)('the page of $name says what GET /v1/engines says', async (engine) => {
  const page = await read(`docs/engines/${engine.name}.md`);
  const fields = Object.keys(engine.connectionSchema.properties);
  expect(fields.filter((field) => !page.includes(`\`${field}\``))).toEqual([]);
  expect(page).toContain(`\`restore_is_atomic: ${engine.restoreIsAtomic}\``);
  expect(/undo/i.test(page)).toBe(engine.undo !== undefined);
});

test('README leads to the page of every engine', async () => {
  const readme = await read('README.md');
  const missing = engines.filter(({ name }) => !readme.includes(`(docs/engines/${name}.md)`));
  expect(missing.map(({ name }) => name)).toEqual([]);
});
