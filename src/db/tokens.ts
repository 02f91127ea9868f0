import { CompiledQuery, type Kysely, type Selectable, sql } from 'kysely';
import type { Reading } from './reading.ts';
import type { Reader, Tables, TokenTable, WriteTransaction } from './schema.ts';

/** A bearer token; of its secret only the hash is kept. */
export interface Token {
  readonly id: number;
  readonly name: string;
  readonly operator: boolean;
  readonly secretHash: Uint8Array;
  readonly createdAt: Date;
  readonly lastUsedAt: Date | null;
}

export type Right = 'view' | 'manage';
export interface TokenRight {
  readonly instanceGuid: string;
  readonly right: Right;
}

export type TokenWithRight = Token & {
  /** On the instance that was asked about. */
  readonly right: Right | undefined;
};

/**
 * A token that is not revoked, with its right on one instance and what is to be read along: all that a request needs, in one
 * round trip. Nothing is read along for a token without a right on the instance.
 */
export async function findToken<Value = undefined>(
  db: Kysely<Tables>,
  by: { secretHash: Uint8Array } | { id: number },
  instanceGuid: string | undefined,
  along?: Reading<Value>,
): Promise<(TokenWithRight & { readonly along: Value | undefined }) | undefined> {
  const [column, value] = 'secretHash' in by ? ['secret_hash', by.secretHash] : ['id', by.id];
  const { rows } = await db.executeQuery<TokenRow>(
    CompiledQuery.raw(tokenQuery(column, along), [...(along?.parameters ?? []), value, instanceGuid ?? '']),
  );
  const row = rows[0];
  if (!row) return undefined;
  const mayRead = row.operator || row.right !== null;
  return {
    ...tokenOf(row),
    right: row.right ?? undefined,
    along: along && mayRead ? along.valueOf(row.along ?? undefined) : undefined,
  };
}

/** The parameters of what is read along come first, because its text counts them from 1. */
function tokenQuery(column: string, along: Reading<unknown> | undefined): string {
  const first = along?.parameters.length ?? 0;
  const readAlong = along
    ? `case when operator or "right" is not null then (select row_to_json(along)::text from (${along.text}) along) end`
    : 'null';
  return `/* prepared: find_token_by_${column}${along ? `_with_${along.name}` : ''} */
    with found as materialized (
      select token.id, token.name, token.operator, token.secret_hash, token.created_at, token.last_used_at,
        (
          select "right" from forestay.token_instances
          where token_id = token.id and instance_guid = $${first + 2}
        ) as "right"
      from forestay.tokens token
      where token.${column} = $${first + 1} and token.revoked_at is null
    )
    select found.*, ${readAlong} as along from found`;
}

type TokenRow = Selectable<TokenTable> & { right: Right | null; along: string | null };

function tokenOf(row: Selectable<TokenTable>): Token {
  return {
    id: row.id,
    name: row.name,
    operator: row.operator,
    secretHash: row.secret_hash,
    createdAt: row.created_at,
    lastUsedAt: row.last_used_at,
  };
}

export async function rightsOfToken(db: Reader, tokenId: number): Promise<TokenRight[]> {
  const rows = await db
    .selectFrom('token_instances')
    .select(['instance_guid', 'right'])
    .where('token_id', '=', tokenId)
    .orderBy('instance_guid')
    .execute();
  return rows.map((row) => ({ instanceGuid: row.instance_guid, right: row.right }));
}

/** Tokens that are not revoked, newest first, with their rights. */
export async function listTokens(
  db: Reader,
  options: { limit?: number | undefined; beforeId?: number | undefined } = {},
): Promise<(Token & { rights: TokenRight[] })[]> {
  let query = db.selectFrom('tokens').selectAll().where('revoked_at', 'is', null).orderBy('id', 'desc');
  if (options.beforeId !== undefined) query = query.where('id', '<', options.beforeId);
  if (options.limit !== undefined) query = query.limit(options.limit);
  const tokens = await query.execute();
  if (tokens.length === 0) return [];
  const granted = await db
    .selectFrom('token_instances')
    .selectAll()
    .where('token_id', '>=', tokens.at(-1)!.id)
    .where('token_id', '<=', tokens[0]!.id)
    .orderBy('instance_guid')
    .execute();
  const rights = Map.groupBy(granted, (right) => right.token_id);
  return tokens.map((token) => ({
    ...tokenOf(token),
    rights: (rights.get(token.id) ?? []).map(({ instance_guid, right }) => ({
      instanceGuid: instance_guid,
      right,
    })),
  }));
}

export async function insertToken(
  trx: WriteTransaction,
  token: { name: string; operator: boolean; secretHash: Uint8Array; rights: readonly TokenRight[] },
): Promise<{ id: number; createdAt: Date }> {
  const row = await trx
    .insertInto('tokens')
    .values({ name: token.name, operator: token.operator, secret_hash: token.secretHash })
    .returning(['id', 'created_at'])
    .executeTakeFirstOrThrow();
  if (token.rights.length > 0) {
    await trx
      .insertInto('token_instances')
      .values(
        token.rights.map(({ instanceGuid, right }) => ({
          token_id: row.id,
          instance_guid: instanceGuid,
          right,
        })),
      )
      .execute();
  }
  return { id: row.id, createdAt: row.created_at };
}

/** Tells whether there was such a token. Its sessions end with it. */
export async function revokeToken(trx: WriteTransaction, id: number, now: Date): Promise<boolean> {
  const { numUpdatedRows } = await trx
    .updateTable('tokens')
    .set({ revoked_at: now })
    .where('id', '=', id)
    .where('revoked_at', 'is', null)
    .executeTakeFirstOrThrow();
  return numUpdatedRows > 0n;
}

/** One statement, so it needs no transaction. The condition keeps processes from writing it for each other again. */
export async function noteTokenUse(db: Kysely<Tables>, id: number, now: Date, notSince: Date): Promise<void> {
  await db
    .updateTable('tokens')
    .set({ last_used_at: now })
    .where('id', '=', id)
    .where(sql<boolean>`(last_used_at is null or last_used_at < ${notSince})`)
    .execute();
}
