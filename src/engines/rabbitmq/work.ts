import type { Api } from './api.ts';
import type { Definitions } from './definitions.ts';
import { textOf } from './describe.ts';
import type { Thing } from './plan.ts';
import type { QueueName } from './queues.ts';

/** What makes the broker's definitions others works with. */
export interface Work {
  /** As an administrator. */
  readonly api: Api;
  /** Its name. */
  readonly user: string;
  /** The vhost that the instance is; undefined for a whole broker. */
  readonly vhost: string | undefined;
  readonly wanted: Definitions;
  readonly signal: AbortSignal;
  /** What is left although it should go or be another, a sentence by its key (empty where another one tells). It is not tried again. */
  readonly left: Map<string, string>;
}

export function leave({ left, vhost }: Work, thing: Thing, why: string): void {
  const what = textOf(thing.section, thing.item, vhost);
  left.set(leftKey(thing), `${what.charAt(0).toUpperCase()}${what.slice(1)} ${why}: it was left as it is.`);
}

/** Leaves a thing for a reason that is told of another one. */
export function leaveSilently({ left }: Work, thing: Thing): void {
  const key = leftKey(thing);
  if (!left.has(key)) left.set(key, '');
}

export function isLeft({ left }: Work, thing: Thing): boolean {
  return left.has(leftKey(thing));
}

export function queueOf({ vhost }: Work, { item }: Thing): QueueName {
  return { vhost: vhost ?? String(item.vhost), name: String(item.name) };
}

function leftKey({ section, key }: Thing): string {
  return `${section} ${key}`;
}
