import { readdir, readFile, readlink } from 'node:fs/promises';

/** What Linux tells about processes; for others there is no such test. */

export interface ProcessInfo {
  readonly pid: number;
  readonly parent: number;
  readonly command: string;
  readonly environment: string;
}

export async function listProcesses(): Promise<ProcessInfo[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(
    pids.map(async (pid) => {
      const read = (name: string) => readFile(`/proc/${pid}/${name}`, 'utf8').catch(() => '');
      const [status, command, environment] = await Promise.all([
        read('status'),
        read('cmdline'),
        read('environ'),
      ]);
      const parent = Number(/^PPid:\s*(\d+)/m.exec(status)?.[1] ?? 0);
      return { pid: Number(pid), parent, command: command.replaceAll('\0', ' '), environment };
    }),
  );
  return found;
}

/** Programs that a process has started and that still run. */
export async function childrenOf(pid: number): Promise<ProcessInfo[]> {
  return (await listProcesses()).filter(({ parent }) => parent === pid);
}

/** Files below a folder that a process has open. */
export async function openFiles(pid: number, folder: string): Promise<string[]> {
  const descriptors = await readdir(`/proc/${pid}/fd`);
  const targets = await Promise.all(
    descriptors.map((name) => readlink(`/proc/${pid}/fd/${name}`).catch(() => '')),
  );
  return targets.filter((target) => target.startsWith(`${folder}/`));
}

/** Time a process has spent computing, in milliseconds. */
export async function cpuMs(pid: number): Promise<number> {
  const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ')[1]!.split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/** Memory that a process has in RAM, in megabytes. */
export async function residentMb(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s*(\d+) kB/m.exec(status)?.[1]) / 1024;
}
