/**
 * What the story needs of a kind of data service. Everything that is specific to one lies behind this: another engine is
 * another implementation in a folder of its own, and a line in `datasets.ts`.
 */
export interface Dataset {
  /** As the API names it: `postgresql`. */
  readonly engine: string;
  /** Installs what this engine lacks, where it may; throws `DemoFailed`, saying what to install, where it may not. */
  prepareMachine(): void;
  /** Starts a private server with an empty instance on it. */
  startServer(): Promise<DemoServer>;
}

/** A private server (or what stands for one) with one instance. */
export interface DemoServer {
  /** For people: `PostgreSQL 15.18`. */
  readonly title: string;
  /** As the API takes it, with the rights that the user of an instance has. */
  readonly connection: Readonly<Record<string, unknown>>;
  /** Settings that a site needs to be allowed to reach it: `FORESTAY_FILES_ROOTS`. */
  readonly siteSettings?: Readonly<Record<string, string>>;
  /** Makes data that looks real, inside the server; the same every time. */
  fill(size: DataSize, onStep: (step: FillStep) => void, signal: AbortSignal): Promise<void>;
  /** Bytes that the instance takes at the server. */
  size(): Promise<number>;
  /** About how many bytes a backup reads, for progress bars. */
  expectedBackupBytes(): Promise<number>;
  fingerprint(): Promise<Fingerprint>;
  /** Does what people do by mistake; resolves with what was done, a sentence each. */
  destroySomeData(): Promise<string[]>;
  /** Looks into an opened download with the engine's own tool; throws `DemoFailed` when that does not like it. */
  checkOpened(file: string, signal: AbortSignal): Promise<Check>;
  /** Stops the server and deletes everything it has. May be called again. */
  destroy(): Promise<void>;
}

export type DataSize = 'full' | 'small';

export interface FillStep {
  readonly done: number;
  readonly total: number;
  readonly title: string;
}

export interface Check {
  /** What a person would type. */
  readonly command: string;
  readonly result: string;
}

/** What an instance holds, in a form that is equal exactly when the data is. */
export interface Fingerprint {
  /** A digest of each thing that can be different, under a name that people understand. */
  readonly facts: ReadonlyMap<string, string>;
  /** How much was looked at: `12 tables with 900,000 rows, …`. */
  readonly summary: string;
}
