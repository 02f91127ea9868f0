import { enableCompileCache } from 'node:module';
import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';

/**
 * Lets Node keep what it compiled in the user's cache folder (XDG Base Directory Specification), to be called before anything
 * large is loaded: commands start in a third of the time. Where that folder cannot be written, all is compiled anew each time.
 * NODE_COMPILE_CACHE names another folder, NODE_DISABLE_COMPILE_CACHE=1 does without.
 */
export function keepCompiledCode(args: readonly string[]): void {
  // What runs for long starts seldom, and would take 10 MB more.
  if (args.some((word) => word === 'serve' || word === 'worker')) return;
  const folder = cacheFolder();
  // Not in a folder for everybody, which would be Node's default: who can write there decides what runs here.
  if (folder !== undefined) enableCompileCache(join(folder, 'forestay', 'compiled'));
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
