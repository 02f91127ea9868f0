import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { createFilesEngine } from '../../../src/engines/files/engine.ts';
import { describeEngine } from '../../contract/engine-contract.ts';
import { orWhyNot } from '../../storage/filesystem/tmpfs.ts';
import { fullFolder, makeFolder, removeRoot } from './instance.ts';

const roots = { one: mkdtempSync(join(tmpdir(), 'files-')), two: mkdtempSync(join(tmpdir(), 'files-')) };
afterAll(() => Promise.all(Object.values(roots).map(removeRoot)));

let count = 0;
const name = () => `-- folder ${++count} "'$x\\ ü`;

describeEngine('files', {
  engine: createFilesEngine({ roots: [roots.one], forbidden: [] }),
  method: 'staged',
  whileWritten: 'refused',
  makeInstance: () => makeFolder({ inRoot: roots.one, name: name() }),
  full: orWhyNot(() => fullFolder({ name: name() })),
});

const programs = { perl: 'no-such-perl' };

describeEngine('files where two names cannot be exchanged in one step', {
  engine: createFilesEngine({ roots: [roots.two], forbidden: [], programs }),
  method: 'staged',
  whileWritten: 'refused',
  makeInstance: () => makeFolder({ inRoot: roots.two, name: name(), programs }),
  full: orWhyNot(() => fullFolder({ name: name(), programs })),
});
