/** Results on stdout: JSON exactly as the API answered, or something for people. Everything else goes to stderr. */
export function print(json: true | undefined, value: unknown, forPeople: () => string): void {
  process.stdout.write(json ? `${JSON.stringify(value, null, 2)}\n` : withNewline(forPeople()));
}

/** Something worth knowing that is not the result. */
export function note(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** Columns as wide as their content; `none` instead of a heading without rows. */
export function table(
  headings: readonly string[],
  rows: readonly (readonly string[])[],
  none: string,
): string {
  if (rows.length === 0) return none;
  const lines = [headings, ...rows].map((row) => row.map(clean));
  const widths = headings.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  return lines
    .map((line) =>
      line
        .map((cell, at) => cell.padEnd(widths[at] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** `name  value` lines; members that are undefined are left out. */
export function details(members: Readonly<Record<string, string | undefined>>): string {
  const lines = Object.entries(members).filter((entry): entry is [string, string] => entry[1] !== undefined);
  const width = Math.max(...lines.map(([name]) => name.length));
  return lines.map(([name, value]) => `${name.padEnd(width)}  ${clean(value)}`).join('\n');
}

/** `1.5 GiB`; `-` where it is not known. */
export function bytes(size: number | null | undefined): string {
  if (size === null || size === undefined) return '-';
  const unit = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(size, 1)) / 10));
  return unit === 0 ? `${size} B` : `${(size / 1024 ** unit).toFixed(1)} ${units[unit]}`;
}

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** `2026-01-31 12:00:00 UTC`; `-` where there is none. */
export function moment(iso: string | null | undefined): string {
  return iso ? `${iso.slice(0, 19).replace('T', ' ')} UTC` : '-';
}

function withNewline(text: string): string {
  return text.endsWith('\n') ? text : `${text}\n`;
}

/** Names come from other people: what a terminal would obey is taken out. */
function clean(text: string): string {
  return text.replace(/\p{Cc}/gu, ' ');
}
