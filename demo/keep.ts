import { once } from 'node:events';
import type { Narrator } from './narrate.ts';
import type { DemoSite } from './site.ts';
import type { Stage } from './stage.ts';

/** Leaves the sites running, says how to look around, and returns at Ctrl-C. */
export async function lookAround(
  stage: Stage,
  recoveredGuid: string,
  narrator: Narrator,
  signal: AbortSignal,
): Promise<void> {
  narrator.act('Look around');
  const siteA = await narrator.during('Building a new site A where the old one was', () => stage.rebuildA());
  const siteB = stage.b.site;
  narrator.say('Both sites are up. Site A is new and knows nothing yet; site B has the recovered instance.');
  narrator.table([
    ['', 'address', 'admin token (0600)'],
    ['site A', siteA.url, siteA.tokenFile],
    ['site B', siteB.url, siteB.tokenFile],
  ]);
  narrator.say(`The encrypted backups: ${stage.stores.place} — the key: ${stage.keyFile}`);
  narrator.say(`The API, readable: ${siteB.url}/docs`);
  narrator.say('For example (the token goes through a pipe, so that it stands in no process list):');
  const instance = `/v1/instances/${recoveredGuid}`;
  narrator.quote(curl(siteB, '/v1/instances'));
  narrator.quote(curl(siteB, `${instance}/restores`));
  narrator.quote(curl(siteB, `${instance}/backups`, '-X POST'));
  narrator.quote(curl(siteB, `/service-instances/${recoveredGuid}/backups`));
  narrator.quote(
    `FORESTAY_URL=${siteB.url} npx forestay --token-file ${siteB.tokenFile} backup list ${recoveredGuid}`,
  );
  narrator.say('Ctrl-C ends everything and cleans up.');
  // Waiting for a signal alone would not keep the process.
  const alive = setInterval(() => {}, 60_000);
  try {
    if (!signal.aborted) await once(signal, 'abort');
  } finally {
    clearInterval(alive);
  }
}

function curl(site: DemoSite, path: string, options = ''): string {
  const header = `printf 'Authorization: Bearer %s' "$(cat ${site.tokenFile})"`;
  return `${header} | curl -sS -H @- ${options === '' ? '' : `${options} `}${site.url}${path}`;
}
