import { openssl, prepare, type Requirement } from '../test/support/prepare.ts';
import { DemoFailed } from './demo-failed.ts';

/** Installs what an engine of the story needs, and nothing else; throws `DemoFailed` where something is still missing. */
export function prepareMachine(rows: readonly Requirement[]): void {
  const missing = prepare([openssl, ...rows]);
  if (missing.length === 0) return;
  throw new DemoFailed(
    'This machine lacks something that the demo needs, and it may not be installed from here.',
    missing.map((row) => `${row.what}: on Debian, apt-get install ${row.packages.join(' ')}`),
  );
}
