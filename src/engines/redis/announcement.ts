import { ReplyError } from './resp.ts';

/**
 * What a server says before the RDB: `$<length>` when it has it in a file, `$EOF:<40 bytes>` when it makes it while it
 * sends; then those 40 bytes come again behind it. While the server is still at work it sends empty lines.
 */
export type Announcement = { readonly length: number } | { readonly mark: Buffer };

const longest = 1 + 'EOF:'.length + 40 + 2;

/** Undefined when there is not enough yet. Throws `ReplyError` when the server gives up, or says something else. */
export function readAnnouncement(bytes: Buffer): { announced: Announcement; end: number } | undefined {
  let at = 0;
  while (bytes[at] === 0x0a || bytes[at] === 0x0d) at++;
  const lineEnd = bytes.indexOf('\r\n', at, 'latin1');
  if (lineEnd === -1) {
    if (bytes.length - at > 64 * longest) throw new ReplyError(unexpected);
    return undefined;
  }
  const line = bytes.toString('latin1', at, lineEnd);
  const end = lineEnd + 2;
  if (line.startsWith('-')) throw new ReplyError(line.slice(1, 400));
  const [, mark] = /^\$EOF:([\x21-\x7e]{40})$/.exec(line) ?? [];
  if (mark !== undefined) return { announced: { mark: Buffer.from(mark, 'latin1') }, end };
  const [, length] = /^\$(\d{1,15})$/.exec(line) ?? [];
  if (length !== undefined) return { announced: { length: Number(length) }, end };
  throw new ReplyError(unexpected);
}

const unexpected = 'ERR the server announces no RDB';
