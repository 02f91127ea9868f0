import { type Kysely, sql } from 'kysely';
import type { Tables } from './schema.ts';

/** Counts attempts in windows that begin with the first one; in the database, because any process may see the next. */
export interface AttemptWindow {
  /** This one included. */
  readonly count: number;
  readonly firstAt: Date;
}

/** Counts one more; a window older than `windowMs` is forgotten and a new one begins. */
export async function countAttempt(
  db: Kysely<Tables>,
  scope: string,
  now: Date,
  windowMs: number,
): Promise<AttemptWindow> {
  const start = new Date(now.getTime() - windowMs);
  const over = sql<boolean>`failed_attempts.first_at <= ${start}`;
  const row = await db
    .insertInto('failed_attempts')
    .values({ scope, count: 1, first_at: now })
    .onConflict((conflict) =>
      conflict.column('scope').doUpdateSet({
        count: sql<number>`case when ${over} then 1 else failed_attempts.count + 1 end`,
        first_at: sql<Date>`case when ${over} then ${now} else failed_attempts.first_at end`,
      }),
    )
    .returning(['count', 'first_at'])
    .executeTakeFirstOrThrow();
  // Whoever begins a window clears away windows that are over, so that the table does not grow with the addresses.
  if (row.count === 1) await db.deleteFrom('failed_attempts').where('first_at', '<', start).execute();
  return { count: row.count, firstAt: row.first_at };
}

/** Takes one attempt of a window back: it did not fail. */
export async function uncountAttempt(db: Kysely<Tables>, scope: string): Promise<void> {
  await db
    .updateTable('failed_attempts')
    .set({ count: sql<number>`greatest(count - 1, 0)` })
    .where('scope', '=', scope)
    .execute();
}
