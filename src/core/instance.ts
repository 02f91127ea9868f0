/** A service instance: one database (server) that somebody uses. */
export type InstanceState = 'provisioned' | 'deleted';

/** Connection details as the engine's `connectionSchema` describes them. Always sealed at rest, never answered. */
export type Connection = Readonly<Record<string, unknown>>;

/** The queue and workers of instances that name no pool. */
export const defaultPool = 'default';
