import path from 'node:path';
import type { StoreKind } from './layout.ts';

/** Folders: that of site A survives, as a file server elsewhere would. */
export const directoryStores: StoreKind = {
  prepareMachine() {},
  async open(folder) {
    const shared = path.join(folder, 'shared-store');
    return {
      a: { primary: `file:${shared}` },
      b: { primary: `file:${path.join(folder, 'store-of-b')}`, secondary: `file:${shared}` },
      env: {},
      place: shared,
      shared:
        'All it shares with A is the folder with the encrypted backups, which tells nothing without your key.',
      burn: async () => undefined,
    };
  },
};
