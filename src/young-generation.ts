import v8 from 'node:v8';

/**
 * Node's option for the most that V8's space for new objects may take: three times 8 MB. By itself Node lets it grow to 96 MB
 * and more, which is no faster here. It has to be there when Node starts: `npm start` and `bin/forestay.js` give it.
 */
export const youngGenerationOption = '--max-semi-space-size=8';

/**
 * Loading a program this size fills that space once, with garbage, and keeps it. Held small until everything is loaded, the
 * service takes 15 MB less and starts no slower; after that it may grow, because requests are served a fifth slower
 * otherwise (all measured).
 */

/** Before anything large is loaded. */
export function holdSmall(): void {
  v8.setFlagsFromString('--semi-space-growth-factor=1');
}

/** V8's default. */
export function letGrow(): void {
  v8.setFlagsFromString('--semi-space-growth-factor=2');
}
