import type { Readable } from 'node:stream';
import { ForestayError } from '../../core/errors.ts';
import { abortError } from '../../pipeline/abort.ts';
import { orAborted } from '../../pipeline/until-aborted.ts';
import { type Definitions, fromBackup, itemsOf, NotDefinitions, sections } from './definitions.ts';
import { canonical, parseJson } from './json.ts';

/** Definitions are held in memory, so they are limited: in bytes of JSON. About 200,000 queues with their bindings. */
export const maxBytes = 32 * 1024 * 1024;

/**
 * The plaintext of a backup, in pieces: a file as `rabbitmqctl import_definitions` takes it, always the same for the same
 * definitions. One thing stands in each line, sorted; the last brace is the end mark.
 */
export function* writeBackup(definitions: Definitions, rabbitmqVersion: string): Generator<string> {
  const version = JSON.stringify(rabbitmqVersion);
  yield `{\n"rabbit_version":${version},\n"rabbitmq_version":${version}`;
  for (const section of sections) {
    yield `,\n"${section}":[`;
    const items = [...itemsOf(definitions, section)].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    let separator = '\n';
    for (const [, item] of items) {
      yield separator + canonical(item);
      separator = ',\n';
    }
    yield '\n]';
  }
  yield '\n}\n';
}

/** Reads such a file to its end. Errors of `bytes` are thrown as they are; what is not whole is `BackupDamaged`. */
export async function readBackup(bytes: Readable, signal: AbortSignal): Promise<Definitions> {
  const pieces: Buffer[] = [];
  let size = 0;
  const reading = async () => {
    for await (const piece of bytes as AsyncIterable<Buffer>) {
      size += piece.length;
      if (size > 2 * maxBytes) throw damaged('it is larger than definitions may be');
      pieces.push(piece);
    }
  };
  try {
    await orAborted(reading(), signal);
  } catch (error) {
    throw signal.aborted ? abortError(signal) : error;
  }
  return parseBackup(Buffer.concat(pieces).toString('utf8'));
}

/** The same of a text. */
export function parseBackup(text: string): Definitions {
  try {
    return fromBackup(parseJson(text));
  } catch (error) {
    if (error instanceof NotDefinitions) throw damaged(error.message);
    throw damaged('it is not JSON, or not all of it');
  }
}

function damaged(why: string): ForestayError {
  return new ForestayError('BackupDamaged', `This is not a whole backup of RabbitMQ: ${why}.`, {
    hint: 'Use another backup. Nothing was changed.',
  });
}
