import { ForestayError, hasCode } from '../../core/errors.ts';
import { type AzureStoreOptions, openContainer, request } from './container.ts';

/** Milliseconds of difference between two clocks that are worth a word; servers refuse at 15 minutes. */
const skewWorthSaying = 60_000;

/**
 * Looks, when a process starts, at what would make every backup fail later: whether the endpoint answers, takes the credentials,
 * has the container, lets them list it, and has the same time. Changes nothing. Resolves with a sentence about each; throws
 * `Misconfigured` for what somebody must change, and `StoreUnavailable` or `StoreTimeout` for what may pass.
 */
export async function examineAzureStore(options: AzureStoreOptions, signal: AbortSignal): Promise<string[]> {
  const container = openContainer(options);
  const { container: name, prefix } = container.location;
  const look = () =>
    request(container, { signal }, (abortSignal) =>
      container.client.listBlobsFlat({ prefix, abortSignal }).byPage({ maxPageSize: 1 }).next(),
    );
  try {
    await container.repeat(look, signal);
  } catch (error) {
    if (!hasCode(error, 'StoreDenied')) throw error;
    throw new ForestayError('Misconfigured', error.message, { hint: error.hint ?? '', cause: error.cause });
  } finally {
    container.close();
  }
  const { skewMs } = container.clock;
  const seconds = Math.round(Math.abs(skewMs) / 1000);
  return [
    `The endpoint ${container.endpoint} answers`,
    `The credentials are right and may list the container ${name}`,
    Math.abs(skewMs) < skewWorthSaying
      ? 'Its clock and that of this machine agree'
      : `Its clock is ${seconds} seconds ${skewMs > 0 ? 'ahead of' : 'behind'} that of this machine: set the clock, best by NTP`,
  ];
}
