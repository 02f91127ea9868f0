import type { Bench } from '../bench.ts';

/**
 * What `npm run bench -- engines` needs of an engine: a private server with data, and the engine's own tools. Another engine
 * is a file beside this one, and a line in `all.ts`.
 */
export interface EngineRival {
  /** As the API names it. */
  readonly engine: string;
  /** For people. */
  readonly rivals: { readonly backup: string; readonly restore: string };
  /** The most that Forestay may take, divided by what the engine's own tool takes. */
  readonly targets: { readonly backup: number; readonly restore: number };
  start(bench: Bench): Promise<RivalServer>;
}

export interface RivalServer extends AsyncDisposable {
  /** As the API takes it. */
  readonly connection: Readonly<Record<string, unknown>>;
  /** Makes about so many bytes of data; called once. */
  fill(bytes: number): Promise<void>;
  /** Before each timed run, of either side: removes what the last one left, so that all runs begin alike. */
  settle?(): Promise<void>;
  /** The engine's own tool, output to /dev/null; ends when it exits 0. */
  backUp(signal: AbortSignal): Promise<void>;
  /** Writes a copy with the engine's own tool to a file, for restore. */
  save(file: string, signal: AbortSignal): Promise<void>;
  /** The engine's own restore of that file into an empty place. */
  restore(file: string, signal: AbortSignal): Promise<void>;
}
