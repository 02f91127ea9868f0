import { ForestayError } from '../../core/errors.ts';
import type { Api } from './api.ts';
import { brokenAnswer } from './errors.ts';
import { isObject, type Json } from './json.ts';

/** What a broker is, and as whom it knows us. */
export interface Broker {
  readonly version: string;
  /** Types of exchange that can be declared. */
  readonly exchangeTypes: ReadonlySet<string>;
  /** Of the user that we connect as. */
  readonly user: string;
}

/** Throws `InstanceRefused` unless the user is an administrator and the vhost, if one is meant, is there. */
export async function examineBroker(api: Api, vhost: string | undefined): Promise<Broker> {
  const me = await api.get(['whoami']);
  const overview = isAdministrator(me) ? await api.get(['overview']) : undefined;
  if (!isObject(me) || typeof me.name !== 'string') throw strange();
  if (!isAdministrator(me)) {
    throw new ForestayError('InstanceRefused', `The user "${me.name}" is not an administrator.`, {
      hint: `Definitions are for administrators: rabbitmqctl set_user_tags ${me.name} administrator`,
    });
  }
  if (!isObject(overview) || typeof overview.rabbitmq_version !== 'string') throw strange();
  if (vhost !== undefined && (await api.get(['vhosts', vhost], 'columns=name')) === undefined) {
    throw new ForestayError('InstanceRefused', `The broker has no vhost "${vhost}".`, {
      hint: 'Make it, with rabbitmqctl add_vhost, or correct the connection.',
    });
  }
  return {
    version: overview.rabbitmq_version,
    exchangeTypes: new Set(namesIn(overview.exchange_types)),
    user: me.name,
  };
}

/** Of every node the plugins that are enabled; undefined where the broker does not say. */
export async function enabledPlugins(api: Api): Promise<ReadonlySet<string> | undefined> {
  const nodes = await api.get(['nodes'], 'columns=enabled_plugins');
  const [first] = Array.isArray(nodes) ? (nodes as readonly Json[]) : [];
  const plugins = isObject(first) ? first.enabled_plugins : undefined;
  return Array.isArray(plugins) ? new Set((plugins as readonly Json[]).map(String)) : undefined;
}

/** A list since 3.9, before that a text with commas. */
function isAdministrator(me: Json | undefined): boolean {
  if (!isObject(me)) return false;
  const tags = Array.isArray(me.tags) ? me.tags.map(String) : String(me.tags).split(',');
  return tags.includes('administrator');
}

function namesIn(list: Json | undefined): string[] {
  if (!Array.isArray(list)) return [];
  return (list as readonly Json[]).flatMap((each) => (isObject(each) ? [String(each.name)] : []));
}

function strange(): ForestayError {
  return brokenAnswer('The broker does not say what it is', 'its answer is not as RabbitMQ documents it');
}
