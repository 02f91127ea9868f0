import { once } from 'node:events';
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { runProcess } from '../../src/cli/process.ts';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** The executable with a site that only says what it was asked to do. */
await runProcess(process.argv.slice(2), {
  openSite: async () => ({
    async startSite(_config, _secrets, parts) {
      process.stderr.write(`started ${JSON.stringify(parts)}\n`);
      const server = createServer().listen(0, '127.0.0.1');
      await once(server, 'listening');
      // What waits for the signal must survive this, as it has to in days of running.
      setTimeout(() => {
        collectGarbage();
        process.stderr.write('garbage collected\n');
      }, 50);
      return {
        url: parts.api ? 'http://127.0.0.1:3000' : undefined,
        async close() {
          await sleep(Number(process.env.CLOSING_TAKES ?? 0));
          server.close();
          process.stderr.write('closed\n');
        },
      };
    },
    migrateSite: async () => ['0001-main-job'],
    rebuildSiteCatalog: async (_config, _secrets, { siteId = 'a-site' }) => ({
      siteId,
      stateOf: null,
      stores: [{ store: 'file:/backups', objects: 5, manifests: 2, states: 0 }],
      ...{ instances: 1, withoutConnection: ['a-guid'], keys: 1, backups: 1, copies: 0, ofOtherSites: 0 },
      skipped: [{ store: 'file:/backups', key: 'x/manifest.json', reason: 'It is damaged.' }],
    }),
    checkSiteCatalog: async () => ({
      stores: [{ store: 'file:/backups', objects: 5, ofOthers: 1 }],
      checked: 2,
      discrepancies: process.env.BROKEN
        ? [{ store: 'file:/backups', key: 'x/data', problem: 'missing', detail: 'Backup 1 is done.' }]
        : [],
    }),
    examine: async () => [
      { what: 'database', state: 'ok', detail: 'embedded' },
      ...(process.env.BROKEN
        ? [{ what: 'primary store', state: 'fail' as const, detail: 'full', hint: 'Make room.' }]
        : []),
    ],
  }),
});
