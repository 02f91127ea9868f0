import { filesRival } from './files.ts';
import { mariadbRival } from './mariadb.ts';
import { postgresqlRival } from './postgresql.ts';
import { redisRival } from './redis.ts';
import type { EngineRival } from './rival.ts';

/** One line for each engine. */
export const rivals: readonly EngineRival[] = [postgresqlRival, mariadbRival, filesRival, redisRival];

/** Those of the names, or all. Throws what `wrong` makes of a sentence for an unknown name. */
export function chooseRivals(
  names: readonly string[],
  wrong: (reason: string) => Error,
): readonly EngineRival[] {
  const known = rivals.map(({ engine }) => engine);
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined)
    throw wrong(`there is no engine "${unknown}" to measure, but ${known.join(', ')}`);
  return names.length === 0 ? rivals : rivals.filter(({ engine }) => names.includes(engine));
}
