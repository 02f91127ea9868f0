import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BackupBody, BackupRequestedBody, RestoreRequestedBody } from '../src/http/v1/backups.ts';
import type { PerformedBody, PreparedBody } from '../src/http/v1/disaster-recovery.ts';
import type { RegisteredInstanceBody } from '../src/http/v1/instances.ts';
import type { RecoveryPointBody } from '../src/http/v1/recovery-points.ts';
import type { RestoreBody } from '../src/http/v1/restores.ts';
import { type Api, openApi } from './api.ts';
import { requireDifferent, requireEqual } from './compare.ts';
import type { Dataset, DemoServer, Fingerprint } from './dataset.ts';
import { DemoFailed } from './demo-failed.ts';
import { megabytes, type Narrator, seconds } from './narrate.ts';
import { guideCommand, openDownload } from './open-download.ts';
import type { Stage } from './stage.ts';

/** How long a copy to the second place may take, in milliseconds. */
const copyPatienceMs = 120_000;

/** What was measured, a row each: what, how long, how much. */
export type Results = (readonly [what: string, time: string, size: string])[];

interface Play {
  readonly dataset: Dataset;
  readonly stage: Stage;
  readonly narrator: Narrator;
  readonly signal: AbortSignal;
  readonly results: Results;
  readonly original: Fingerprint;
  /** About what goes through in a backup or restore, for progress bars. */
  readonly expectedBytes: number;
}

/** Plays the story, up to the moment when everything is back at site B. Throws `DemoFailed` at the first broken promise. */
export async function playScenario(
  dataset: Dataset,
  stage: Stage,
  narrator: Narrator,
  signal: AbortSignal,
): Promise<{ results: Results; recoveredGuid: string }> {
  const size = await stage.a.server.size();
  narrator.say(
    `${stage.a.server.title} at site A now holds ${megabytes(size)}. To be able to tell later whether everything came back, we read all of it and note a digest of each thing in it:`,
  );
  const original = await readAll(stage.a.server, 'Reading the original', narrator);
  const results: Results = [['original data', '', megabytes(size)]];
  const expectedBytes = await stage.a.server.expectedBackupBytes();
  const play: Play = { dataset, stage, narrator, signal, results, original, expectedBytes };

  const api = openApi(stage.a.site, narrator, signal);
  const guid = await registerAndSetKey(play, api);
  const backup = await backUp(play, api, guid);
  await downloadAndOpen(play, api, guid, backup);
  await destroyAndRestore(play, api, guid, backup);
  const lost = await prepareAndLoseSite(play, api, guid);
  const recoveredGuid = await performAtSiteB(play, lost);
  return { results, recoveredGuid };
}

async function registerAndSetKey({ narrator, stage, dataset }: Play, api: Api): Promise<string> {
  narrator.act('Register the instance, set a key');
  narrator.say(
    'Forestay is told how to reach the instance, and as whom. The key is yours: it encrypts every backup, and no call ever answers it again.',
  );
  const instance = await register(api, dataset, stage.a.server, 'shop');
  await api.send('PATCH', `/v1/instances/${instance.instance_id}/backup-config`, {
    encryption_key: stage.key,
  });
  narrator.good(
    `Registered: ${stage.a.server.title}, and tried whether it can be reached. A key is set; it lies in ${stage.keyFile}`,
  );
  for (const warning of instance.warnings) narrator.say(`Note: ${warning}`);
  return instance.instance_id;
}

async function backUp(
  { narrator, stage, results, expectedBytes }: Play,
  api: Api,
  guid: string,
): Promise<BackupBody> {
  narrator.act('Back up');
  narrator.say(
    'Bytes go from the instance to the store in one stream, compressed and encrypted on the way. A backup is "done" only after the source ended without error and the store holds exactly what was sent.',
  );
  const { id } = await api.send<BackupRequestedBody>('POST', `/v1/instances/${guid}/backups`);
  const backup = await narrator.during('Backup', (progress) =>
    api.follow<BackupBody>(`/v1/instances/${guid}/backups/${id}`, expectedBytes, progress),
  );
  if (!backup.downloadable) throw new DemoFailed('The backup is done, but not downloadable.');
  narrator.good(`${megabytes(backup.size)} lie encrypted in ${stage.stores.place}`);
  results.push(['backup', taskTime(backup), `${megabytes(backup.size)} stored`]);
  return backup;
}

async function downloadAndOpen(play: Play, api: Api, guid: string, backup: BackupBody): Promise<void> {
  const { narrator, stage, results, signal } = play;
  narrator.act('Download, and open it without Forestay');
  narrator.say(
    'Your data is yours: a download opens with openssl and gunzip, as the guide of the a9s services says.',
  );
  const download = path.join(stage.folder, 'backup.gz.enc');
  const opened = path.join(stage.folder, 'backup');
  const route = `/v1/instances/${guid}/backups/${backup.id}/download`;
  narrator.quote(`GET ${route}`);
  const startedAt = performance.now();
  const size = await narrator.during('Download', (progress) => api.download(route, download, progress));
  results.push(['download', seconds(performance.now() - startedAt), megabytes(size)]);
  narrator.quote(guideCommand);
  const openedAt = performance.now();
  const files = { download, opened, keyFile: stage.keyFile };
  const openedSize = await narrator.during('Opening it', () => openDownload(files, signal));
  results.push(['openssl | gunzip', seconds(performance.now() - openedAt), megabytes(openedSize)]);
  const check = await stage.a.server.checkOpened(opened, signal);
  narrator.quote(check.command);
  narrator.good(check.result);
}

async function destroyAndRestore(play: Play, api: Api, guid: string, backup: BackupBody): Promise<void> {
  const { narrator, stage, original, expectedBytes } = play;
  const { server } = stage.a;
  narrator.act('Somebody destroys data');
  for (const sentence of await server.destroySomeData()) narrator.say(`- ${sentence}`);
  const damaged = await readAll(server, 'Reading what is left', narrator);
  const lost = requireDifferent('After the accident', original, damaged);
  narrator.good(`The comparison notices: ${lost.length} differences, for example: ${lost[0]}`);

  narrator.act('Restore');
  narrator.say(
    'Forestay checks every byte against the signed manifest of the backup, and changes what is visible in the instance only when all is there. Should anything fail before, the instance stays as it was.',
  );
  const { restore_id: id } = await api.send<RestoreRequestedBody>(
    'POST',
    `/v1/instances/${guid}/backups/${backup.id}/restore`,
  );
  const restore = await narrator.during('Restore', (progress) =>
    api.follow<RestoreBody>(`/v1/instances/${guid}/restores/${id}`, expectedBytes, progress),
  );
  tellRestore(play, 'restore', restore);
  requireEqual('The restored instance', original, await readAll(server, 'Reading what came back', narrator));
  narrator.good(`Equal, down to the last detail: ${original.summary}`);
}

/** Resolves with what "prepare" answered, and when the site was lost (epoch milliseconds). */
async function prepareAndLoseSite(
  play: Play,
  api: Api,
  guid: string,
): Promise<{ backupGuid: string; lostAt: number }> {
  const { narrator, stage, signal } = play;
  narrator.act('Prepare for the worst, then lose site A');
  narrator.say(
    'Disaster recovery needs two things that you keep elsewhere: the GUID that "prepare" answers, and the key.',
  );
  const { backup_guid: backupGuid } = await api.send<PreparedBody>(
    'POST',
    `/v1/instances/${guid}/disaster-recovery/prepare`,
    {},
  );
  narrator.good(`backup_guid: ${backupGuid}`);
  if (stage.stores.a.secondary !== undefined) await awaitCopies(play, api, guid);
  const lostAt = Date.now();
  await stage.a.site.destroy();
  await stage.a.server.destroy();
  const burned = await stage.stores.burn();
  const answer = await fetch(`${stage.a.site.url}/healthz`, { signal }).catch(() => undefined);
  signal.throwIfAborted();
  if (answer) throw new DemoFailed('Site A still answers, although it was destroyed.');
  narrator.good(
    `Site A is gone: its process killed (SIGKILL), its data directory deleted, and the instance with its server, too${burned === undefined ? '' : `; and ${burned}`}.`,
  );
  return { backupGuid, lostAt };
}

/** What is to survive must have left site A. */
async function awaitCopies({ narrator, signal }: Play, api: Api, guid: string): Promise<void> {
  const route = `/v1/instances/${guid}/recovery-points`;
  narrator.quote(`GET ${route}`);
  const points = await narrator.during('Waiting for the copy at the second place', async () => {
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(copyPatienceMs)]);
    for (;;) {
      const found = await api.look<RecoveryPointBody[]>(route);
      if (found.every(({ backup_id }) => backup_id !== null)) return found;
      if (deadline.aborted && !signal.aborted) throw new DemoFailed('The backup was not copied in time.');
      await sleep(200, undefined, { signal });
    }
  });
  for (const { store, role, age_seconds } of points)
    narrator.say(`- ${role} store ${store}: its newest backup is ${age_seconds} s old`);
}

async function performAtSiteB(
  play: Play,
  { backupGuid, lostAt }: { backupGuid: string; lostAt: number },
): Promise<string> {
  const { narrator, stage, original, expectedBytes, dataset, signal } = play;
  narrator.act('Recover at site B');
  narrator.say(
    `Site B is another installation: its own state, its own keys. ${stage.stores.shared} The instance there is another one, and empty.`,
  );
  const api = openApi(stage.b.site, narrator, signal);
  const instance = await register(api, dataset, stage.b.server, 'shop at site B');
  const before = await readAll(stage.b.server, 'Reading the empty instance', narrator);
  requireDifferent('Before the recovery', original, before);
  const { restore_id: id } = await api.send<PerformedBody>(
    'POST',
    `/v1/instances/${instance.instance_id}/disaster-recovery/perform`,
    { backup_guid: backupGuid, encryption_key: stage.key },
  );
  const restore = await narrator.during('Recovery', (progress) =>
    api.follow<RestoreBody>(`/v1/instances/${instance.instance_id}/restores/${id}`, expectedBytes, progress),
  );
  tellRestore(play, 'recovery at site B', restore);
  play.results.push(
    [
      'recovery point: changes that are lost',
      seconds(lostAt - Date.parse(restore.metadata.restored_from)),
      '',
    ],
    [
      'recovery time: from the loss until the data is back',
      seconds(Date.parse(restore.finished_at) - lostAt),
      '',
    ],
  );
  const recovered = await readAll(stage.b.server, 'Reading what was recovered', narrator);
  requireEqual('The recovered instance', original, recovered);
  narrator.good(`Equal, down to the last detail: ${original.summary}`);
  return instance.instance_id;
}

function register(
  api: Api,
  { engine }: Dataset,
  { connection }: DemoServer,
  name: string,
): Promise<RegisteredInstanceBody> {
  return api.send('POST', '/v1/instances', { name, engine, connection });
}

async function readAll(server: DemoServer, what: string, narrator: Narrator): Promise<Fingerprint> {
  return narrator.during(what, () => server.fingerprint());
}

function tellRestore({ narrator, results }: Play, what: string, restore: RestoreBody): void {
  results.push([what, taskTime(restore), '']);
  if (restore.switch_ms !== null) results.push(['  of that, closed to users', `${restore.switch_ms} ms`, '']);
  for (const sentence of restore.not_kept ?? []) narrator.say(`Not kept: ${sentence}`);
}

/** From the moment a worker took it until it was done, as the API tells it. */
function taskTime({ started_at, triggered_at, finished_at }: BackupBody | RestoreBody): string {
  return seconds(Date.parse(finished_at) - Date.parse(started_at ?? triggered_at));
}
