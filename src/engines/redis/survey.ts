import { ForestayError } from '../../core/errors.ts';
import type { Details } from './details.ts';
import type { KeyHead } from './rdb-scanner.ts';

/** Values of these types (of modules, of Redis before 7, hashes whose fields expire) can only be restored in one piece. */
const inOnePiece = new Set([7, 14, 24, 25]);
/** Bytes of such a value that a restore keeps in memory. */
export const largestPiece = 256 * 1024 * 1024;

/** Takes note of what an RDB holds while it goes by. */
export class Survey {
  readonly details: { -readonly [Name in keyof Details]: Details[Name] };
  #database: { db: number; keys: number; expiring: number } | undefined;
  #valueAt = 0;

  constructor(product: Details['product'], leftOut: readonly number[]) {
    this.details = {
      product,
      rdbVersion: 0,
      usedMemory: 0,
      databases: [],
      functions: 0,
      moduleKeys: 0,
      moduleData: [],
      leftOut: [...leftOut],
    };
  }

  version(version: number): void {
    this.details.rdbVersion = version;
  }

  aux(name: string, value: string): void {
    if (name === 'used-mem' && /^\d+$/.test(value)) this.details.usedMemory = Number(value);
  }

  functions(): void {
    this.details.functions += 1;
  }

  moduleData(module: string): void {
    if (!this.details.moduleData.includes(module)) this.details.moduleData.push(module);
  }

  /** Undefined for one that is left out. */
  database(db: number | undefined): void {
    this.#database = db === undefined ? undefined : { db, keys: 0, expiring: 0 };
    if (this.#database) this.details.databases.push(this.#database);
  }

  /** `valueAt`, `at`: bytes of the RDB before it. */
  key(key: KeyHead, valueAt: number): void {
    this.#valueAt = valueAt;
    if (!this.#database) return;
    this.#database.keys += 1;
    if (key.expiresAt !== undefined) this.#database.expiring += 1;
    if (key.type === 7) this.details.moduleKeys += 1;
  }

  valueEnd({ type }: KeyHead, at: number): void {
    if (at - this.#valueAt <= largestPiece || !inOnePiece.has(type)) return;
    throw new ForestayError(
      'InstanceRefused',
      `A value of type ${type} has ${at - this.#valueAt} bytes, more than could be restored in one piece.`,
      { hint: 'Values of modules, and hashes whose fields expire, may have up to 256 MiB. Make it smaller.' },
    );
  }
}
