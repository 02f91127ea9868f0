/** Where the two sites of the story keep their backups. */
export interface StoreLayout {
  /** As FORESTAY_STORE and FORESTAY_SECONDARY_STORES. */
  readonly a: SiteStores;
  readonly b: SiteStores;
  /** Credentials and the like, for both sites. */
  readonly env: Readonly<Record<string, string>>;
  /** For people: where the backups of site A lie. */
  readonly place: string;
  /** What the two sites have in common, in a sentence about site B. */
  readonly shared: string;
  /** Destroys what burns with site A; resolves with what that was, undefined where nothing does. */
  burn(): Promise<string | undefined>;
}

export interface SiteStores {
  readonly primary: string;
  readonly secondary?: string;
}

/** A kind of store that the story can be told with. */
export interface StoreKind {
  /** Installs what is missing where it may; throws `DemoFailed`, saying what to install, where it may not. */
  prepareMachine(): void;
  /** Sets the stores up; `folder` is a temp folder of the story. */
  open(folder: string, stack: AsyncDisposableStack): Promise<StoreLayout>;
}
