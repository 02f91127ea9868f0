import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';
import { ForestayError } from '../../core/errors.ts';
import type { RestoreTicket } from '../engine.ts';
import type { Api } from './api.ts';
import { type Broker, enabledPlugins } from './broker.ts';
import type { Target } from './connection.ts';
import { countOf, type Definitions, itemsOf } from './definitions.ts';

/** What a backup says of itself. */
const DetailsSchema = Type.Object({
  scope: Type.Union([Type.Literal('broker'), Type.Literal('vhost')]),
  /** How many things it holds. */
  count: Type.Integer({ minimum: 0 }),
  /** What the broker must know to take it. */
  exchangeTypes: Type.Array(Type.String()),
  components: Type.Array(Type.String()),
});
export type Details = Static<typeof DetailsSchema>;

export function parseDetails(details: unknown): Details {
  if (Value.Check(DetailsSchema, details)) return details;
  throw new ForestayError(
    'IncompatibleBackup',
    'The backup does not say what a restore of RabbitMQ needs to know.',
    { hint: 'It was made by another engine or version.' },
  );
}

export function describeDefinitions(definitions: Definitions, target: Target): Details {
  const values = (section: 'exchanges' | 'parameters', field: string) => [
    ...new Set([...itemsOf(definitions, section).values()].map((item) => String(item[field]))),
  ];
  return {
    scope: target.vhost === undefined ? 'broker' : 'vhost',
    count: countOf(definitions),
    exchangeTypes: values('exchanges', 'type').sort(),
    components: values('parameters', 'component').sort(),
  };
}

/** Throws `IncompatibleBackup` when the broker cannot take the backup. */
export async function assertCompatible(
  api: Api,
  broker: Broker,
  target: Target,
  source: RestoreTicket['source'],
): Promise<Details> {
  const details = parseDetails(source.details);
  const scope = target.vhost === undefined ? 'broker' : 'vhost';
  if (details.scope !== scope) {
    throw new ForestayError(
      'IncompatibleBackup',
      `The backup is of ${words[details.scope]}, the instance is ${words[scope]}.`,
      {
        hint: 'Whether an instance is a whole broker or one vhost is what the field vhost of its connection says.',
      },
    );
  }
  if (majorOf(source.engineVersion) > majorOf(broker.version)) {
    throw new ForestayError(
      'IncompatibleBackup',
      `The backup is of RabbitMQ ${source.engineVersion}, the broker is ${broker.version}.`,
      { hint: 'Restore into a broker of the same major version, or of a newer one.' },
    );
  }
  const missing = [
    ...details.exchangeTypes
      .filter((type) => broker.exchangeTypes.size > 0 && !broker.exchangeTypes.has(type))
      .map((type) => `exchanges of type ${type}`),
    ...(await missingComponents(api, details)),
  ];
  if (missing.length === 0) return details;
  throw new ForestayError(
    'IncompatibleBackup',
    `The broker does not know what the backup has: ${missing.join(', ')}.`,
    {
      hint: 'Enable the plugins of the broker that the backup was made of: rabbitmq-plugins enable …',
    },
  );
}

const words = { broker: 'a whole broker', vhost: 'one vhost' } as const;

/** Which plugin brings which component of parameters. */
const plugins: Readonly<Record<string, string>> = {
  shovel: 'rabbitmq_shovel',
  'federation-upstream': 'rabbitmq_federation',
  'federation-upstream-set': 'rabbitmq_federation',
};

async function missingComponents(api: Api, { components }: Details): Promise<string[]> {
  const needed = components.filter((component) => plugins[component] !== undefined);
  if (needed.length === 0) return [];
  const enabled = await enabledPlugins(api);
  return needed
    .filter((component) => enabled && !enabled.has(plugins[component] ?? ''))
    .map((component) => `parameters of ${component} (plugin ${plugins[component]})`);
}

function majorOf(version: string): number {
  return Number.parseInt(version, 10);
}
