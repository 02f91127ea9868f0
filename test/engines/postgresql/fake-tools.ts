import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createPostgresqlEngine } from '../../../src/engines/postgresql/engine.ts';

/** Makes a folder of fake programs that say they are of a version; `bodies` are the shell scripts they are otherwise. */
export async function fakeTools(
  parent: string,
  version: string,
  bodies: Record<string, string> = {},
): Promise<string> {
  const path = join(parent, version, 'bin');
  await mkdir(path, { recursive: true });
  for (const name of ['pg_dump', 'pg_restore', 'psql']) {
    const body = bodies[name] ?? 'exit 9';
    await writeFile(
      join(path, name),
      `#!/bin/sh\nif [ "$1" = --version ]; then echo "${name} (PostgreSQL) ${version}"; exit 0; fi\n${body}\n`,
    );
    await chmod(join(path, name), 0o755);
  }
  return path;
}

/** An engine that knows no other tools than those in these folders. */
export function engineWith(dirs: readonly string[], options: { stallMs?: number } = {}) {
  return createPostgresqlEngine({ usualToolDirs: dirs, ...options });
}
