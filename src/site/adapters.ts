import type { IdentityProvider } from '../auth/identity.ts';
import type { Secrets } from '../config/secrets.ts';
import type { Config } from '../config.ts';
import type { Repeat } from '../core/repeat.ts';
import type { Database } from '../db/open.ts';
import type { Engine } from '../engines/engine.ts';
import type { ObjectStore } from '../storage/object-store.ts';

/** What a site is composed of, behind its ports. `app.ts` names them; whatever starts or examines a site is handed them. */
export interface Adapters {
  makeEngines(config: Config): readonly Engine[];
  readonly storeKinds: readonly StoreKind[];
  /** Who may tell who is asking, in the order in which they are tried. */
  makeIdentityProviders(secrets: Secrets, database: Database): readonly IdentityProvider[];
}

/** A kind of store, chosen by the scheme of its URL. */
export interface StoreKind {
  /** What comes before the colon. */
  readonly scheme: string;
  /** How its URLs look, for people. */
  readonly example: string;
  /** Throws `Misconfigured` for a URL that cannot be right. */
  open(url: string, options: OpenOptions): Promise<OpenedStore>;
}

export interface OpenOptions {
  readonly signal: AbortSignal;
  /** For the steps that the adapter must repeat itself. */
  readonly repeat: Repeat;
  /** For the look at the store, which may be more impatient than later work. */
  readonly lookRepeat: Repeat;
}

export interface OpenedStore {
  readonly store: ObjectStore;
  /** Where it is, as far as its URL tells; else the id tells it, which only a look finds. */
  readonly place?: string;
  /** Looks at it and, where it is one that can be set up, sets it up once. `knownId` is what an earlier look found. */
  look(knownId: string | undefined): Promise<{
    /** By which it is recognised; undefined where its URL says all there is. */
    readonly id?: string;
    /** What was found, a sentence each. */
    readonly findings: readonly string[];
  }>;
}
