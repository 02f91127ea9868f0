import { describeObjectStore } from '../../contract/object-store-contract.ts';
import { makeTempStore, openFilesBelow } from './temp-store.ts';

describeObjectStore('the directory store', async () => {
  const temp = await makeTempStore();
  return {
    store: temp.store,
    remains: temp.temps,
    openHandles: async () => (await openFilesBelow(temp.root)).length,
    close: async () => temp[Symbol.asyncDispose](),
  };
});
