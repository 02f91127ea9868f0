import pg from 'pg';

/**
 * A connection that has statements which carry a name in a comment, `prepared: list_backups` in the first one, parsed and
 * planned once and not with every request: planning a join takes longer than running it. A name belongs to one text.
 */
export class PreparingClient extends pg.Client {
  // One signature of the driver's many is all that Kysely calls; the others pass through as they are.
  override query = ((query: unknown, ...rest: unknown[]) => {
    const run = super.query as (...args: unknown[]) => unknown;
    const name = typeof query === 'string' ? /^\/\* prepared: (\w+) \*\//.exec(query)?.[1] : undefined;
    if (name === undefined) return run.call(this, query, ...rest);
    return run.call(this, { name, text: query, values: rest[0] });
  }) as pg.Client['query'];
}
