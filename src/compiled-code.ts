import { statSync } from 'node:fs';
import { enableCompileCache } from 'node:module';
import { homedir } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';

/**
 * Lets Node keep what it compiled in the user's cache folder (XDG Base Directory Specification), to be called before anything
 * large is loaded: commands start in a third of the time. Where that folder cannot be written, all is compiled anew each time.
 * NODE_DISABLE_COMPILE_CACHE=1 does without.
 */
export function keepCompiledCode(args: readonly string[]): void {
  // What runs for long starts seldom, and would take 10 MB more.
  if (args.some((word) => word === 'serve' || word === 'worker')) return;
  const base = cacheFolder();
  if (base === undefined) return;
  const folder = join(base, 'forestay', 'compiled');
  // Not in a folder for everybody, which would be Node's default, nor in somebody else's: who can write there decides what runs here.
  if (isOurs(folder)) enableCompileCache(folder);
}

/** Whether it belongs to the user this runs as, or will when it is made. */
function isOurs(folder: string): boolean {
  try {
    return statSync(folder).uid === process.getuid?.();
  } catch {
    return folder !== '/' && isOurs(dirname(folder));
  }
}

function cacheFolder(): string | undefined {
  const chosen = process.env.XDG_CACHE_HOME;
  if (chosen !== undefined && isAbsolute(chosen)) return chosen;
  try {
    const home = homedir();
    return isAbsolute(home) && home !== '/' ? join(home, '.cache') : undefined;
  } catch {
    // Containers run with ids that no user has.
    return undefined;
  }
}
