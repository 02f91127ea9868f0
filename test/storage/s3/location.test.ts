import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseS3Location } from '../../../src/storage/s3/location.ts';
import { createS3Store } from '../../../src/storage/s3/store.ts';

const MiB = 1024 * 1024;

describe('the URL of an S3 store', () => {
  it('names a bucket of Amazon S3 by its region', () => {
    expect(parseS3Location('s3://backups/site-1/a?region=eu-central-1')).toEqual({
      bucket: 'backups',
      prefix: 'site-1/a/',
      endpoint: undefined,
      region: 'eu-central-1',
      pathStyle: false,
      caFile: undefined,
      partBytes: 16 * MiB,
      parallel: 5,
      checksum: 'none',
      etag: 'md5',
      presign: false,
    });
  });

  it('names a bucket of another server by its endpoint, with every option', () => {
    const url =
      's3://backups/?endpoint=https://s3.example.org:9000/&region=r1&path_style=false&ca_file=/etc/ca.pem&part_size=64&parallel=8&checksum=sha256&etag=opaque&presign=true';
    expect(parseS3Location(url)).toEqual({
      bucket: 'backups',
      prefix: '',
      endpoint: 'https://s3.example.org:9000',
      region: 'r1',
      pathStyle: false,
      caFile: '/etc/ca.pem',
      partBytes: 64 * MiB,
      parallel: 8,
      checksum: 'sha256',
      etag: 'opaque',
      presign: true,
    });
    expect(parseS3Location('s3://backups?endpoint=http://[::1]:9000')).toMatchObject({
      pathStyle: true,
      region: 'us-east-1',
      prefix: '',
    });
  });

  const endpoint = 'endpoint=http://127.0.0.1:9000';
  it.each([
    ['no bucket', `s3:///prefix?${endpoint}`, /names no bucket/],
    ['no URL at all', 's3:backups', /names no bucket|cannot be read/],
    ['a bucket that cannot be one', `s3://b?${endpoint}`, /cannot be the name of a bucket/],
    ['a prefix that leads out', `s3://backups/a/../b?${endpoint}`, /cannot be the prefix/],
    ['a prefix with an empty part', `s3://backups/a//b?${endpoint}`, /cannot be the prefix/],
    ['a prefix with a dot in front', `s3://backups/.a?${endpoint}`, /cannot be the prefix/],
    ['a prefix that is escaped', `s3://backups/a%2e%2e?${endpoint}`, /cannot be the prefix/],
    ['an unknown option', `s3://backups?${endpoint}&regoin=x`, /no option "regoin"/],
    ['an option twice', `s3://backups?${endpoint}&region=a&region=b`, /given twice/],
    ['neither region nor endpoint', 's3://backups', /neither a region nor an endpoint/],
    ['an endpoint without scheme', 's3://backups?endpoint=s3.example.org', /not an http\(s\) URL/],
    ['an endpoint of another scheme', 's3://backups?endpoint=ftp://s3.example.org', /not an http\(s\) URL/],
    ['an endpoint with a query', 's3://backups?endpoint=http://h/%3Fa=b', /more than a host/],
    ['certificates for http', `s3://backups?${endpoint}&ca_file=/etc/ca.pem`, /endpoint that is http/],
    ['certificates by relative path', 's3://backups?region=a&ca_file=ca.pem', /not an absolute path/],
    ['a flag that is none', `s3://backups?${endpoint}&path_style=yes`, /path_style is "yes"/],
    ['parts that are too small', `s3://backups?${endpoint}&part_size=4`, /part_size is "4"/],
    ['parts that are no number', `s3://backups?${endpoint}&part_size=5e1`, /part_size is "5e1"/],
    ['no parallel part', `s3://backups?${endpoint}&parallel=0`, /parallel is "0"/],
    ['an unknown checksum', `s3://backups?${endpoint}&checksum=md4`, /checksum is "md4"/],
    ['a region with a blank', 's3://backups?region=eu%20central', /not a region/],
    ['a port at the bucket', `s3://backups:9000/?${endpoint}`, /has a port/],
  ])('is refused with %s', (_, url, message) => {
    let thrown: unknown;
    try {
      parseS3Location(url);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toMatchObject({ code: 'Misconfigured', message: expect.stringMatching(message) });
    expect((thrown as { hint: string }).hint).toMatch(/docs\/stores\/s3\.md/);
  });

  it('is refused with credentials, which are not repeated', () => {
    for (const url of [
      's3://key:geheim@backups/?region=a',
      's3://backups?endpoint=https://key:geheim@host',
    ]) {
      let text = '';
      try {
        parseS3Location(url);
      } catch (error) {
        text = `${(error as Error).message} ${(error as { hint?: string }).hint}`;
      }
      expect(text).toMatch(/AWS_SECRET_ACCESS_KEY/);
      expect(text).not.toContain('geheim');
    }
  });

  it('names certificates that are there and are some', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'forestay-ca-'));
    const file = join(folder, 'ca.pem');
    const make = () =>
      createS3Store({ location: parseS3Location(`s3://backups?endpoint=https://h&ca_file=${file}`) });
    try {
      expect(make).toThrow(/cannot be read/);
      await writeFile(file, 'not a certificate');
      expect(make).toThrow(/holds no certificate/);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
