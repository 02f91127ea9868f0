import type { RestoreBody } from '../http/v1/restores.ts';
import { assertDone, awaitTask } from './await-task.ts';
import type { Client } from './client.ts';
import { print } from './output.ts';
import { describeRestore } from './restore-text.ts';

export interface FollowOptions {
  /** Of the instance, in the API. */
  readonly path: string;
  readonly instanceName: string;
  /** What the API answered. */
  readonly requested: { readonly restore_id: number };
  readonly wait: boolean;
  readonly json: true | undefined;
  readonly signal: AbortSignal;
}

/** Prints what became of a request for a restore: that it is queued, or, having waited, how it went. */
export async function followRestore(client: Client, options: FollowOptions): Promise<void> {
  const { path, instanceName, requested, json } = options;
  const id = requested.restore_id;
  const what = `Restore ${id}`;
  const showCommand = `forestay restore show ${instanceName} ${id}`;
  if (!options.wait) {
    print(json, requested, () => `${what} is queued. See how it is going with: ${showCommand}`);
    return;
  }
  const restore = await awaitTask<RestoreBody>(client, `${path}/restores/${id}`, {
    what,
    showCommand,
    quiet: json === true,
    signal: options.signal,
  });
  if (json || restore.status === 'done') print(json, restore, () => describeRestore(restore));
  assertDone(restore, what);
}
