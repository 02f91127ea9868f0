import { ForestayError } from '../core/errors.ts';
import type { Principal } from './identity.ts';

/** What it takes. `anyone`: no credential. `caller`: a valid one. `view`, `manage`: that right on the instance. */
type Requirement = 'anyone' | 'caller' | 'view' | 'manage' | 'operator';

/**
 * The one table of who may do what. `view` is for looking: lists and details, neither keys nor data. `manage` is
 * everything on the instance, downloads too. What concerns the site is for operators.
 */
export const permissions = {
  'service.look': 'anyone',
  'metrics.view': 'operator',
  'engine.list': 'caller',
  'instance.list': 'caller',
  'instance.register': 'operator',
  'instance.view': 'view',
  // A connection leads this service to an address, and a pool to a queue: not for others to choose.
  'instance.change': 'operator',
  'instance.delete': 'manage',
  'backup.view': 'view',
  'backup.create': 'manage',
  'backup.delete': 'manage',
  'backup.cancel': 'manage',
  'backup.download': 'manage',
  'backup.restore': 'manage',
  'restore.view': 'view',
  // Names everything in the instance and in the backup: that is data.
  'restore.plan': 'manage',
  'restore.cancel': 'manage',
  'restore.undo': 'manage',
  'config.view': 'view',
  'config.change': 'manage',
  'recovery.prepare': 'manage',
  'recovery.perform': 'manage',
  'token.list': 'operator',
  'token.create': 'operator',
  'token.revoke': 'operator',
} as const satisfies Record<string, Requirement>;

export type Action = keyof typeof permissions;

export function may(principal: Principal, action: Action): boolean {
  if (principal.operator) return true;
  const requirement: Requirement = permissions[action];
  switch (requirement) {
    case 'anyone':
    case 'caller':
      return true;
    case 'view':
      return principal.right !== undefined;
    case 'manage':
      return principal.right === 'manage';
    case 'operator':
      return false;
    default:
      return requirement satisfies never;
  }
}

/** Throws `Forbidden`, in the same words whether or not what was asked about exists. */
export function authorise(principal: Principal, action: Action): void {
  if (may(principal, action)) return;
  const requirement: Requirement = permissions[action];
  throw new ForestayError('Forbidden', 'You do not have the right to do this.', {
    hint:
      requirement === 'operator'
        ? 'Ask an operator of the service to do it.'
        : `Ask an operator of the service for the right "${requirement}" on this instance.`,
  });
}
