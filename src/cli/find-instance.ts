import { isGuid } from '../core/backup.ts';
import type { InstanceBody } from '../http/v1/instances.ts';
import type { Client } from './client.ts';
import { CliError, usageError } from './errors.ts';
import { exitCodes } from './exit-codes.ts';

/** The path of an instance in the API, from its GUID or its name where that is unique. */
export async function instancePath(client: Client, guidOrName: string): Promise<string> {
  return `/v1/instances/${await findInstanceGuid(client, guidOrName)}`;
}

async function findInstanceGuid(client: Client, guidOrName: string): Promise<string> {
  if (isGuid(guidOrName)) return guidOrName.toLowerCase();
  const all = await client.get<InstanceBody[]>('/v1/instances');
  const named = all.filter((instance) => instance.name === guidOrName && instance.state !== 'deleted');
  const [first, second] = named;
  if (!first) {
    throw new CliError(
      'InstanceNotFound',
      exitCodes.notFound,
      `There is no instance named "${guidOrName}".`,
      {
        hint: 'forestay instance list shows those you may see.',
      },
    );
  }
  if (second) {
    throw usageError(
      `${named.length} instances are named "${guidOrName}".`,
      `Name the GUID of the one you mean: ${named.map((instance) => instance.instance_id).join(', ')}`,
    );
  }
  return first.instance_id;
}
