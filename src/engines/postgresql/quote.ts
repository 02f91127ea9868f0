import { randomBytes } from 'node:crypto';

/** An identifier of SQL, whatever its characters. */
export function ident(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** A string constant of SQL, right with standard_conforming_strings on or off. */
export function literal(text: string): string {
  const doubled = text.replaceAll("'", "''");
  return doubled.includes('\\') ? ` E'${doubled.replaceAll('\\', '\\\\')}'` : `'${doubled}'`;
}

/** A string constant whose content stands as it is. */
export function dollarQuoted(text: string): string {
  let tag = '$forestay$';
  while (text.includes(tag)) tag = `$forestay${randomBytes(6).toString('hex')}$`;
  return `${tag}${text}${tag}`;
}
