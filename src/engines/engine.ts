import type { Readable } from 'node:stream';
import type { TObject } from 'typebox';
import type { Connection } from '../core/instance.ts';
import type { TaskPhase } from '../core/task.ts';

/**
 * The engine port: everything Forestay knows about one kind of data service. An engine is naive: it neither encrypts,
 * nor stores, nor retries. It throws `ForestayError`s, obeys every AbortSignal at once, leaves no process behind and
 * never lets a secret reach argv, a message or a log.
 */
export interface Engine {
  /** The word users see: `postgresql`. */
  readonly name: string;
  /** JSON Schema of the connection: validates it, prompts for it, and is shown at `GET /v1/engines`. */
  readonly connectionSchema: TObject;
  /** Whether a restore becomes visible at one moment, whole or not at all. */
  readonly restoreIsAtomic: boolean;
  /** A restore changes the instance where it is, piece by piece: so did one, then, whose worker died before it could tell. */
  readonly restoresInPlace?: true;
  /** What a backup does not hold, in the words users read. */
  readonly notIncluded: readonly string[];

  /** The programs this machine has for the engine, and what to do about missing ones. Never throws for a missing tool. */
  tools(signal: AbortSignal): Promise<ToolReport[]>;

  /** Reads a connection that came from outside; throws `BadRequest` saying which field is wrong and how. */
  parseConnection(input: unknown): Connection;

  /**
   * Connects and reports. Throws `InstanceUnreachable`, `InstanceRefused` (wrong password, missing right) or `ToolMissing`,
   * each with a hint.
   */
  probe(connection: Connection, signal: AbortSignal): Promise<Probe>;

  /**
   * Starts one consistent copy. The stream ends cleanly **only if the source really finished** (every process exited 0);
   * in every other case it fails. Destroying it, or aborting the signal, ends the work behind it.
   */
  backUp(connection: Connection, signal: AbortSignal): Promise<BackupSource>;

  /**
   * Throws `IncompatibleBackup`, saying why, when the instance cannot take such a backup (of a newer server version, say);
   * `restore` asks the same itself.
   */
  assertRestorable(
    connection: Connection,
    source: RestoreTicket['source'],
    signal: AbortSignal,
  ): Promise<void>;

  /**
   * What a restore of these bytes would add, change and remove, compared with what the instance holds now. Changes nothing.
   * Throws what `assertRestorable` throws, and when the backup is damaged. For engines that can tell before they do it.
   */
  planRestore?(
    connection: Connection,
    bytes: Readable,
    source: RestoreTicket['source'],
    signal: AbortSignal,
  ): Promise<RestorePlan>;

  /**
   * Stages the bytes beside the instance's data, then makes them the instance's data, or fails and leaves the instance as
   * it was. `bytes` fails when the backup turns out to be damaged: nothing may have become visible by then. Just before
   * the change becomes visible it awaits `ticket.beforeSwitch()`, which throws when the change must not happen any more.
   */
  restore(
    connection: Connection,
    bytes: Readable,
    ticket: RestoreTicket,
    signal: AbortSignal,
  ): Promise<RestoreReport>;

  /**
   * Ends what earlier attempts of a restore left, whether their process is dead, frozen or still at it: afterwards none of
   * them can change the instance any more, and nothing of their staging remains. `switched` means that one had already
   * made its change visible, so the restore is in fact done.
   */
  settleRestore(connection: Connection, ticketId: string, signal: AbortSignal): Promise<'switched' | 'clean'>;

  /** Engines that keep the replaced data for a while. */
  readonly undo?: RestoreUndo;
}

export interface RestoreUndo {
  /** Makes the data that the restore replaced the instance's data again, and discards the restored. Throws `UndoUnavailable`. */
  undo(connection: Connection, ticketId: string, signal: AbortSignal): Promise<void>;
  /** Discards the replaced data of a restore. Does nothing where there is none (any more). */
  discard(connection: Connection, ticketId: string, signal: AbortSignal): Promise<void>;
}

export interface ToolReport {
  readonly tool: string;
  /** Every version found, newest first; empty when there is none. */
  readonly found: readonly { readonly version: string; readonly path: string }[];
  /** What to do when none is found. */
  readonly hint?: string;
}

export interface Probe {
  /** Version of the server, as users know it: `15.18`. */
  readonly engineVersion: string;
  /** Things that will not work, or not fully, with this connection; each says what to do. */
  readonly warnings: readonly string[];
}

/** What is being produced is known when the stream starts. */
export interface BackupSource {
  readonly stream: Readable;
  readonly tool: { readonly name: string; readonly version: string };
  readonly engineVersion: string;
  readonly mediaType: string;
  /** File suffix of the plaintext, with the dot. */
  readonly suffix: string;
  /** The bytes are compressed already: they are stored as they are. */
  readonly compressed: boolean;
  /** JSON that `restore` will be given again. It is read after the stream ended: what is known only then may be added until then. */
  readonly details: Readonly<Record<string, unknown>>;
}

/** A thing of an instance (a queue, say) in words for people; nothing of what it holds, which may be secret. */
export interface PlannedThing {
  /** `queue`. */
  readonly kind: string;
  readonly name: string;
  /** Where it is: `vhost orders`; null where that is the whole instance. */
  readonly within: string | null;
}

export interface RestorePlan {
  readonly added: readonly PlannedThing[];
  /** `differs` names what of it is different now. */
  readonly changed: readonly (PlannedThing & { readonly differs: readonly string[] })[];
  readonly removed: readonly PlannedThing[];
  /** What would stay different from the backup, a sentence each. */
  readonly notKept: readonly string[];
}

export interface RestoreTicket {
  /** A UUID, the same for all attempts of one restore; unique across sites. Staging is named after it. */
  readonly id: string;
  /** Counts 1, 2, 3 …; two attempts never share staging. */
  readonly attempt: number;
  /** What the backup says of itself. */
  readonly source: { readonly engineVersion: string; readonly details: Readonly<Record<string, unknown>> };
  /** Must be awaited after everything is staged and checked, before the change becomes visible. */
  beforeSwitch(): Promise<void>;
  onPhase(phase: TaskPhase): void;
}

export interface RestoreReport {
  /** `staged`: built beside and switched. `in place`: changed where it is, in one transaction where `restoreIsAtomic`. */
  readonly method: 'staged' | 'in place';
  /** How long the instance did not take connections, in milliseconds; null where that has no meaning. */
  readonly switchMs: number | null;
  /** The replaced data is kept and `undo` works. */
  readonly undoable: boolean;
  /** What the backup holds that the instance could not take, a sentence each (missing roles, settings …). */
  readonly notKept: readonly string[];
}
