import { describeObjectStore } from '../../contract/object-store-contract.ts';
import { startFaultProxy } from '../../support/fault-proxy.ts';
import { startAzuriteWithContainer, storeAt } from './servers.ts';

describeObjectStore(
  'the Azure store on Azurite',
  async () => {
    const server = await startAzuriteWithContainer();
    // Without faults: it only counts.
    const proxy = await startFaultProxy(server.endpoint);
    return {
      // Short pages, so that a list has several without ten thousand objects.
      store: storeAt(server, proxy.url, { pageSize: 100 }),
      remains: () => server.remains(),
      openHandles: async () => proxy.underWay(),
      async close() {
        await proxy.close();
        await server.close();
      },
    };
  },
  { listedObjects: 250 },
);
