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
  /** Before each timed run, of any side: removes what the last one left, so that all runs begin alike. */
  settle?(): Promise<void>;
  readonly tool: RivalTool;
  /** Writes what `load` reads to a file, where that is not what `dump` writes. */
  save?(file: string, signal: AbortSignal): Promise<void>;
}

/** The engine's own tools as commands of bash, which take addresses and secrets from the environment. */
export interface RivalTool {
  /** Its environment; PATH comes from ours. */
  readonly env: Readonly<Record<string, string>>;
  /** Writes a backup to stdout. */
  readonly dump: string;
  /** Where its output goes when it is measured alone. Default: `> /dev/null`. */
  readonly nowhere?: string;
  /** Reads a backup from stdin and restores it into an empty place. */
  readonly load: string;
}
