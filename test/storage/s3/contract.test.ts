import { describe, it } from 'vitest';
import { describeObjectStore } from '../../contract/object-store-contract.ts';
import { startFakeS3 } from '../../support/fake-s3.ts';
import { startFaultProxy } from '../../support/fault-proxy.ts';
import { swiftMissing } from '../../support/swift-server.ts';
import { startSwiftWithBucket, storeAt } from './servers.ts';

const missing = swiftMissing();
if (missing) {
  describe('the S3 store on OpenStack Swift', () => {
    it.skip(`cannot be tested here: ${missing}`);
  });
} else {
  describeObjectStore(
    'the S3 store on OpenStack Swift',
    async () => {
      const server = await startSwiftWithBucket();
      // Without faults: it only counts.
      const proxy = await startFaultProxy(server.endpoint);
      return {
        store: storeAt(proxy.url, { credentials: server.credentials }),
        remains: () => server.uploads(),
        openHandles: async () => proxy.underWay(),
        async close() {
          await proxy.close();
          await server.close();
        },
      };
    },
    { listedObjects: 250 },
  );
}

describeObjectStore(
  'the S3 store on a server that decides about conditional writes',
  async () => {
    const server = await startFakeS3();
    return {
      store: storeAt(server.endpoint),
      remains: async () => [...server.uploads.values()].map(({ name }) => name),
      openHandles: async () => server.underWay(),
      close: () => server.close(),
    };
  },
  { heldBytesAllowed: 1024 ** 3 },
);
