import { describe, it } from 'vitest';
import { describeObjectStore } from '../../contract/object-store-contract.ts';
import { swiftMissing } from '../../support/swift-server.ts';
import { startS3rver, startSwift, type TestServer } from './servers.ts';

const fixtureOf = (start: () => Promise<TestServer>, canListUploads: boolean) => async () => {
  const server = await start();
  return {
    store: server.store(),
    remains: async () => (canListUploads ? server.uploads() : []),
    openHandles: async () => 0,
    close: () => server.close(),
  };
};

const missing = swiftMissing();
if (missing) describe('the S3 store on OpenStack Swift', () => it.skip(`cannot be tested here: ${missing}`));
else
  describeObjectStore('the S3 store on OpenStack Swift', fixtureOf(startSwift, true), {
    listedObjects: 2_100,
  });

describeObjectStore('the S3 store on s3rver', fixtureOf(startS3rver, false));
