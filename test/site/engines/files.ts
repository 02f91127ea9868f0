import { makeFolder } from '../../engines/files/instance.ts';

/** For the recovery between two sites: each root is a machine of its own. */
export const files = {
  engine: 'files',
  async startServer() {
    const folder = await makeFolder();
    return {
      connection: { path: folder.path },
      siteSettings: { FORESTAY_FILES_ROOTS: folder.root },
      fill: () => folder.fill('hostile'),
      change: () => folder.write(),
      fingerprint: (): Promise<unknown> => folder.fingerprint(),
      close: () => folder.close(),
    };
  },
};
