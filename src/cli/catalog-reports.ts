/** What `app.ts` tells of the work on the catalogue; what `forestay catalog … --json` prints. */

export interface RebuildReport {
  readonly siteId: string;
  readonly stateOf: string | null;
  readonly stores: readonly { store: string; objects: number; manifests: number; states: number }[];
  readonly instances: number;
  readonly withoutConnection: readonly string[];
  readonly keys: number;
  readonly backups: number;
  readonly copies: number;
  readonly skipped: readonly { store: string; key: string; reason: string }[];
  readonly ofOtherSites: number;
}

export interface CheckReport {
  readonly stores: readonly { store: string; objects: number; ofOthers: number }[];
  readonly checked: number;
  readonly discrepancies: readonly { store: string; key: string; problem: string; detail: string }[];
}
