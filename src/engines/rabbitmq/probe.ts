import type { Probe } from '../engine.ts';
import { type ApiLimits, openApi } from './api.ts';
import { examineBroker } from './broker.ts';
import type { Target } from './connection.ts';

/** Connects, and says what will not work with this connection. */
export async function probe(target: Target, limits: ApiLimits, signal: AbortSignal): Promise<Probe> {
  using api = openApi(target, { limits, signal });
  const broker = await examineBroker(api, target.vhost);
  const warnings: string[] = [];
  if (target.vhost === undefined) {
    warnings.push(
      'The instance is the whole broker: a restore removes the users, vhosts and permissions that the backup does not have. Set vhost for one vhost alone.',
    );
  }
  if (target.tls === 'unverified') {
    warnings.push('The certificate of the broker is not checked, so the password may go to somebody else.');
  }
  return { engineVersion: broker.version, warnings };
}
