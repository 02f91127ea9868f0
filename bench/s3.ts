import { existsSync } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bucket, type SwiftWithBucket, startSwiftWithBucket } from '../test/storage/s3/servers.ts';
import { swiftMissing } from '../test/support/swift-server.ts';
import type { Bench } from './bench.ts';
import { backUp, registerInstance } from './client.ts';
import { dropDatabase, makeBlobs } from './dataset.ts';
import { timeProgram } from './process.ts';
import { type Row, spread } from './report.ts';
import { inRounds, ratios } from './rounds.ts';
import { prepareSite, serveSite } from './site.ts';

const aws = '/usr/bin/aws';
const upload = fileURLToPath(new URL('upload.ts', import.meta.url));
const backupsAtOnce = 8;
const MiB = 1024 * 1024;

/** The S3 store on OpenStack Swift: how fast it uploads, and what many uploads at once need. `size` in bytes. */
export async function measureS3(bench: Bench, options: { size: number; rounds: number }): Promise<Row[]> {
  const missing = swiftMissing() ?? (existsSync(aws) ? undefined : `${aws} missing: apt-get install awscli`);
  if (missing !== undefined) throw new Error(missing);
  const server = await startSwiftWithBucket();
  try {
    return [
      ...(await measureUpload(bench, server, options)),
      await measureManyUploads(bench, server, options.size),
    ];
  } finally {
    await server.close();
  }
}

/** The same file by three programs, each from its start to its end. */
async function measureUpload(
  bench: Bench,
  server: SwiftWithBucket,
  { size, rounds }: { size: number; rounds: number },
): Promise<Row[]> {
  const file = join(bench.folder, 'upload');
  const folder = join(bench.folder, 'upload-store');
  await makeFile(file, size);
  const env = { ...keysOf(server), AWS_DEFAULT_REGION: 'us-east-1', HOME: bench.folder, FILE: file };
  const put = async (...command: string[]) => {
    // From the file itself: a pipe through this process would be measured, too.
    const args = ['-c', 'exec "$@" < "$FILE"', 'sh', ...command];
    return timeProgram('sh', args, { signal: bench.signal, env });
  };
  const times = await inRounds(
    rounds,
    {
      s3: () => put(process.execPath, upload, storeUrl(server), 'upload'),
      aws: () => put(aws, '--endpoint-url', server.endpoint, 's3', 'cp', '-', `s3://${bucket}/bench/by-aws`),
      folder: () => put(process.execPath, upload, `file:${folder}`, 'upload'),
    },
    (name, round, seconds) => bench.say(`  upload, round ${round}: ${name} ${seconds.toFixed(2)} s`),
  );
  await rm(folder, { recursive: true });
  await rm(file);
  const ours = `S3 ${spread(times.s3, 's')}`;
  return [
    {
      what: 'aws s3 cp - / upload to S3, seconds',
      values: ratios(times.aws, times.s3),
      unit: 'x',
      target: { atLeast: 1 },
      figures: `${ours}, aws ${spread(times.aws, 's')}; ${megabytes(size)} to OpenStack Swift on the same machine`,
    },
    {
      what: 'throughput of uploads to S3 / to a directory',
      values: ratios(times.folder, times.s3),
      unit: 'x',
      figures: `${ours}, directory ${spread(times.folder, 's')}, fsync included`,
    },
  ];
}

/** Promise 7: the most that the service's process ever had while it made so many backups at the same time. */
async function measureManyUploads(bench: Bench, server: SwiftWithBucket, size: number): Promise<Row> {
  const dataset = await makeBlobs(bench, 'blobs', size);
  const env = {
    ...keysOf(server),
    FORESTAY_STORE: storeUrl(server),
    FORESTAY_CONCURRENCY: String(backupsAtOnce),
  };
  await using state = await prepareSite(bench, 'server', env);
  await using site = await serveSite(bench, state);
  const guids: string[] = [];
  for (let made = 0; made < backupsAtOnce; made++) guids.push(await registerInstance(site, dataset));
  const taken = await Promise.all(guids.map((guid) => backUp(site, guid, bench.signal)));
  const spans = taken.map(
    ({ body }) => [Date.parse(body.started_at ?? ''), Date.parse(body.finished_at)] as const,
  );
  const together = Math.min(...spans.map(([, end]) => end)) - Math.max(...spans.map(([start]) => start));
  if (together <= 0) throw new Error('the backups did not run at the same time: take a larger --s3-size');
  const peak = await site.peakMemory();
  if (peak === undefined) throw new Error('Peak memory can be measured on Linux only.');
  await dropDatabase(bench, 'blobs');
  return {
    what: `peak memory of ${backupsAtOnce} backups at once to S3`,
    values: [peak],
    unit: 'MB',
    target: { atMost: 400e6 },
    figures: `dumps of ${megabytes(size)} each; all of them ran for ${(together / 1000).toFixed(1)} s`,
  };
}

function storeUrl({ endpoint }: SwiftWithBucket): string {
  return `s3://${bucket}/bench?endpoint=${endpoint}`;
}

function keysOf({ credentials }: SwiftWithBucket) {
  return { AWS_ACCESS_KEY_ID: credentials.accessKeyId, AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey };
}

async function makeFile(file: string, bytes: number): Promise<void> {
  const handle = await open(file, 'w');
  try {
    const piece = crypto.getRandomValues(Buffer.alloc(64 * 1024));
    const block = Buffer.concat(Array.from({ length: 16 }, () => piece));
    for (let left = bytes; left > 0; left -= MiB) await handle.write(block, 0, Math.min(left, MiB));
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function megabytes(bytes: number): string {
  return `${Math.round(bytes / 1e6)} MB`;
}
