import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ForestayError } from '../../core/errors.ts';

/**
 * Looks through an archive in pg_dump's directory format. pg_restore opens the files that the archive's table of contents names,
 * wherever that leads: whoever made the archive could have files of this machine loaded into the database. So the folder must
 * hold nothing but files with names of pg_dump, and the table of contents must name no others. Throws `IncompatibleBackup`.
 */
export async function checkDirectoryArchive(folder: string): Promise<void> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) {
    if (!entry.isFile() || !fileName.test(entry.name)) throw refuse(`it holds ${JSON.stringify(entry.name)}`);
  }
  const names = entries.map(({ name }) => name);
  if (!names.includes(contents)) throw refuse(`it has no ${contents}`);
  for (const name of dataFiles(await readFile(join(folder, contents)))) {
    if (!dataFile.test(name)) throw refuse(`it names the file ${JSON.stringify(name)}`);
  }
  for (const name of names.filter((name) => blobList.test(name))) {
    const lines = (await readFile(join(folder, name), 'latin1')).split('\n');
    const odd = lines.find((line) => line !== '' && !/^\d+ blob_\d+\.dat$/.test(line));
    if (odd !== undefined) throw refuse(`${name} has the line ${JSON.stringify(odd.slice(0, 100))}`);
  }
}

const contents = 'toc.dat';
const blobList = /^blobs(_\d+)?\.toc$/;
const dataFile = /^(\d+\.dat|blobs(_\d+)?\.toc)?$/;
const fileName = /^(toc\.dat|blobs(_\d+)?\.toc|(blob_)?\d+\.dat(\.gz|\.lz4|\.zst)?)$/;

/** `archTar` of pg_backup_archiver.h: the table of contents of a directory says that it is that of a tar archive. */
const formatOfDirectories = 3;
/** Of the table of contents, as numbers: 1.12 is what PostgreSQL 9.0 to 10 write, 1.16 what 17 and 18 do. */
const [oldest, newest] = [1012, 1016];

/**
 * The names of files in a table of contents. Source: ReadHead and ReadToc in src/bin/pg_dump/pg_backup_archiver.c,
 * _ReadExtraToc in pg_backup_directory.c.
 */
function dataFiles(toc: Buffer): string[] {
  let at = 0;
  const byte = () => {
    const value = toc[at++];
    if (value === undefined) throw refuse('its table of contents ends too early');
    return value;
  };
  if (toc.toString('latin1', 0, 5) !== 'PGDMP') throw refuse('its table of contents is something else');
  at = 5;
  const version = byte() * 1000 + byte();
  byte();
  if (version < oldest || version > newest) throw refuse('its version is not known here');
  const integerBytes = byte();
  byte();
  if (byte() !== formatOfDirectories) throw refuse('its table of contents is of another format');
  const integer = () => {
    const sign = byte();
    let value = 0;
    for (let index = 0; index < integerBytes; index++) value += byte() * 256 ** index;
    return sign === 0 ? value : -value;
  };
  const string = () => {
    const length = integer();
    if (length < 0) return undefined;
    if (at + length > toc.length) throw refuse('its table of contents ends too early');
    at += length;
    return toc.toString('latin1', at - length, at);
  };
  const skip = (count: number, read: () => unknown) => {
    for (let index = 0; index < count; index++) read();
  };

  if (version >= 1015) byte();
  else integer();
  // When it was made; of what, and with what.
  skip(7, integer);
  skip(3, string);
  const names: string[] = [];
  for (let count = integer(); count > 0; count--) {
    skip(2, integer);
    // Object ids, tag, description.
    skip(4, string);
    // Section; definition, drop, copy, schema, tablespace, access method, kind.
    integer();
    skip(5, string);
    if (version >= 1014) string();
    if (version >= 1016) integer();
    // Owner, with oids.
    skip(2, string);
    while (string() !== undefined);
    names.push(string() ?? '');
  }
  return names;
}

function refuse(why: string): ForestayError {
  return new ForestayError('IncompatibleBackup', `The archive is not one that pg_dump makes: ${why}.`, {
    hint: 'Use another backup. Nothing was changed.',
  });
}
