import { spawn } from 'node:child_process';
import { mkdir, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { onPath, type Requirement } from '../../test/support/prepare.ts';
import type { Check, Dataset, DemoServer } from '../dataset.ts';
import { ended } from '../open-download.ts';
import { prepareMachine } from '../prepare-machine.ts';
import { destroySomeData } from './destroy.ts';
import { fill } from './fill.ts';
import { fingerprint } from './fingerprint.ts';

const requirements: readonly Requirement[] = [
  { what: 'GNU tar', packages: ['tar'], isMet: () => onPath('tar') },
  { what: 'GNU find', packages: ['findutils'], isMet: () => onPath('find') },
];

/** The story with a folder of uploads; what stands for a server is a root that instances may lie below. */
export function createFilesDataset(): Dataset {
  return { engine: 'files', prepareMachine: () => prepareMachine(requirements), startServer };
}

async function startServer(): Promise<DemoServer> {
  const root = await mkdtemp(path.join(tmpdir(), 'forestay-demo-files-'));
  const folder = path.join(root, 'uploads');
  await mkdir(folder, { mode: 0o750 });
  const bytesOnDisk = async () => Number.parseInt(await say('du', ['-s', '--block-size=1', folder]), 10);
  return {
    title: `A folder of uploads (GNU tar ${/\d+\.\d+/.exec(await say('tar', ['--version']))?.[0]})`,
    connection: { path: folder },
    siteSettings: { FORESTAY_FILES_ROOTS: root },
    fill: (size, onStep, signal) => fill(folder, size, onStep, signal),
    size: bytesOnDisk,
    expectedBackupBytes: bytesOnDisk,
    fingerprint: () => fingerprint(folder),
    destroySomeData: () => destroySomeData(folder),
    checkOpened: (file, signal) => checkOpened(file, folder, signal),
    // By rm, because Node cannot name files whose names are not UTF-8.
    destroy: async () => void (await say('rm', ['-rf', root])),
  };
}

/** `tar --compare` reads every file of the archive and of the folder, and fails where they differ. */
async function checkOpened(file: string, folder: string, signal: AbortSignal): Promise<Check> {
  const args = ['--compare', '--numeric-owner', `--file=${file}`, `--directory=${folder}`];
  const members = (await say('tar', ['--list', '--quoting-style=escape', `--file=${file}`], signal))
    .trimEnd()
    .split('\n').length;
  await say('tar', args, signal);
  return {
    command: 'tar --compare --file=backup --directory=uploads',
    result: `tar finds ${members} files, folders and links in it, all equal to those in the folder`,
  };
}

/** What a program writes to stdout; throws `DemoFailed` with its own words when it fails. */
async function say(program: string, args: readonly string[], signal?: AbortSignal): Promise<string> {
  const child = spawn(program, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env.PATH ?? '', LC_ALL: 'C' },
    ...(signal && { signal }),
  });
  const [output] = await Promise.all([text(child.stdout), ended(program, child)]);
  return output;
}
