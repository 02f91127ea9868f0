/** What the guard had to let pass, in sentences for people: one for each role, not one for each statement. */
export function describeFailures(
  statements: readonly string[],
  { role, roles }: { readonly role: string; readonly roles: ReadonlySet<string> },
): string[] {
  const owned = new Map<string, number>();
  const granted = new Map<string, string[]>();
  const others: string[] = [];
  for (const statement of statements) {
    const owner = /^ALTER .* OWNER TO (\S.*);$/s.exec(statement)?.[1];
    const grantee = /(?:GRANT|REVOKE) .* (?:TO|FROM) (.+?)(?: WITH GRANT OPTION)?;$/s.exec(statement)?.[1];
    if (owner !== undefined) owned.set(plain(owner), (owned.get(plain(owner)) ?? 0) + 1);
    else if (grantee !== undefined) {
      // Taking away from a role that is not there is done.
      if (statement.startsWith('REVOKE') && !roles.has(plain(grantee)) && plain(grantee) !== 'PUBLIC')
        continue;
      granted.set(plain(grantee), [...(granted.get(plain(grantee)) ?? []), statement]);
    } else others.push(statement);
  }
  const why = (name: string) =>
    roles.has(name) || name === 'PUBLIC'
      ? `could not be applied to role "${name}"`
      : `role "${name}" does not exist here`;
  return [
    ...[...owned].map(
      ([name, count]) => `Ownership of ${count} objects: ${why(name)}; they belong to "${role}" now.`,
    ),
    ...[...granted].map(
      ([name, list]) => `Grants (${list.length}): ${why(name)}; for example: ${shortened(list[0] ?? '')}`,
    ),
    ...others
      .slice(0, maxOthers)
      .map((statement) => `Not taken over, for lack of a role or right: ${shortened(statement)}`),
    ...(others.length > maxOthers ? [`And ${others.length - maxOthers} more of this kind.`] : []),
  ];
}

const maxOthers = 50;

function plain(quoted: string): string {
  return quoted.startsWith('"') ? quoted.slice(1, -1).replaceAll('""', '"') : quoted;
}

/** Options, those of user mappings above all, hold passwords. */
function shortened(statement: string): string {
  const told = statement.replace(/ OPTIONS \(.*$/s, ' OPTIONS …');
  return told.length > 200 ? `${told.slice(0, 200)} …` : told;
}
