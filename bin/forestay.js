#!/usr/bin/env node
/**
 * Plain JavaScript, so that a Node of any age can read it: runs src/main.ts, with the Node that comes along where the one
 * that runs this is too old. The option is explained in src/young-generation.ts.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('../src/main.ts', import.meta.url));
const ownNode = fileURLToPath(new URL('../node_modules/node/bin/node', import.meta.url));

if (Number(process.versions.node.split('.')[0]) >= 24) {
  await import(new URL('../src/main.ts', import.meta.url).href);
} else if (existsSync(ownNode)) {
  const child = spawn(ownNode, ['--max-semi-space-size=8', main, ...process.argv.slice(2)], {
    stdio: 'inherit',
  });
  // The child stops in order; this process has only to outlive it. The terminal sends it SIGINT itself.
  process.on('SIGINT', () => {});
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  child.on('exit', (code, signal) => {
    process.exitCode = code ?? (signal === 'SIGINT' ? 130 : 1);
  });
} else {
  process.stderr.write(
    `error: Forestay needs Node 24 or newer; this is ${process.version}.\nhint: Run npm ci in its folder: that brings one along.\n`,
  );
  process.exitCode = 1;
}
