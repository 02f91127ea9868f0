/**
 * `npm run demo`: Forestay's main job before your eyes, from a backup to a site that is lost and recovered, with real
 * processes and real data. Exits with 0 only when every comparison held.
 */
import { createNarrator } from './narrate.ts';
import { readOptions, usage } from './options.ts';
import { interrupted, tell } from './tell.ts';

/** npm hands on the Ctrl-C that the terminal has sent already: a second one so soon is the same one. */
const sameSignalMs = 1000;

function abortOnSignals(): AbortSignal {
  const controller = new AbortController();
  let first: number | undefined;
  const onSignal = () => {
    if (first !== undefined && performance.now() - first > sameSignalMs) process.exit(interrupted);
    first ??= performance.now();
    controller.abort();
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  return controller.signal;
}

async function main(): Promise<number> {
  try {
    const options = readOptions(process.argv.slice(2));
    if (!options) {
      process.stdout.write(usage);
      return 0;
    }
    return await tell(options, createNarrator(), abortOnSignals());
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n${usage}`);
    return 2;
  }
}

process.exitCode = await main();
// A connection that fetch keeps open for later must not keep the demo.
process.exit();
