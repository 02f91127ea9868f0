/** An identifier of SQL, whatever its characters. */
export function ident(name: string): string {
  return `\`${name.replaceAll('`', '``')}\``;
}

/** A table or program by schema and name. */
export function qualified(schema: string, name: string): string {
  return `${ident(schema)}.${ident(name)}`;
}

/** A string constant of SQL in a session without NO_BACKSLASH_ESCAPES. */
export function literal(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "''").replaceAll('\0', '\\0')}'`;
}

/** An account `user@host` as `CURRENT_USER()` and `DEFINER` columns give it. */
export function account(text: string): string {
  const at = text.lastIndexOf('@');
  return at < 0 ? ident(text) : `${ident(text.slice(0, at))}@${ident(text.slice(at + 1))}`;
}

/**
 * Replaces a name in backticks where `isMeant` says so of what stands right before and behind it. Quotes in other names and in
 * texts begin and end nothing.
 */
export function replaceName(
  sql: string,
  from: string,
  to: string,
  isMeant: (before: string, after: string) => boolean,
): string {
  return sql.replaceAll(/'(?:[^'\\]|\\[\s\S]|'')*'|`(?:[^`]|``)*`/g, (token, offset: number) => {
    if (token !== from) return token;
    const end = offset + token.length;
    // Names are short.
    return isMeant(sql.slice(Math.max(0, offset - 32), offset), sql.slice(end, end + 1024)) ? to : token;
  });
}
