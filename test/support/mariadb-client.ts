import { type Connection, createConnection } from 'mariadb';

/** Where a server is, and who connects to which of its databases. */
export interface MariadbAddress {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database?: string;
}

export async function connectMariadb(address: MariadbAddress): Promise<Connection> {
  const connection = await createConnection({
    ...address,
    multipleStatements: true,
    connectTimeout: 5000,
    bigIntAsNumber: true,
    dateStrings: true,
    charset: 'utf8mb4',
  });
  connection.on('error', () => {});
  return connection;
}

/** Connects, runs statements, closes; resolves with the rows of the last one that gave some. */
export async function runMariadb<Row = Record<string, unknown>>(
  address: MariadbAddress,
  sql: string,
  values?: unknown[],
): Promise<Row[]> {
  const connection = await connectMariadb(address);
  try {
    const result: unknown = await connection.query(sql, values);
    const results = isResults(result) ? result : [result];
    return (results.findLast(Array.isArray) ?? []) as Row[];
  } finally {
    await connection.end();
  }
}

/** Of several statements. */
function isResults(result: unknown): result is unknown[] {
  return (
    Array.isArray(result) &&
    result.some(
      (one) => Array.isArray(one) || (typeof one === 'object' && one !== null && 'affectedRows' in one),
    )
  );
}

export function quoteMariadb(name: string): string {
  return `\`${name.replaceAll('`', '``')}\``;
}
