import { listInstances } from '../db/instances.ts';
import { listRecoveryPoints, type RecoveryPoint } from '../db/recovery-points.ts';
import type { Context } from './context.ts';

/** What an instance could be brought back to from one store alone. */
export interface StoreRecoveryPoint {
  readonly instanceGuid: string;
  readonly store: string;
  readonly role: 'primary' | 'secondary';
  /** Undefined where the store holds no backup of the instance. */
  readonly newest: RecoveryPoint | undefined;
}

/** For every instance in care (or one of them) and every store of this site, also those that hold nothing: these matter most. */
export async function recoveryPoints(context: Context, instanceGuid?: string): Promise<StoreRecoveryPoint[]> {
  const guids = instanceGuid
    ? [instanceGuid]
    : (await listInstances(context.db))
        .filter(({ state }) => state === 'provisioned')
        .map(({ guid }) => guid)
        .reverse();
  const points = await listRecoveryPoints(context.db, instanceGuid);
  const known = new Map(points.map((point) => [`${point.instanceGuid} ${point.store ?? ''}`, point]));
  return guids.flatMap((guid) =>
    context.stores.map(({ name }, position) => ({
      instanceGuid: guid,
      store: name,
      role: position === 0 ? ('primary' as const) : ('secondary' as const),
      newest: known.get(`${guid} ${position === 0 ? '' : name}`),
    })),
  );
}
