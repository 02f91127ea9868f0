/**
 * Who may import whom (docs/architecture.md). A folder may import what its line says, and itself.
 */
const rules = {
  '^src/core/': [],
  '^src/pipeline/': ['core'],
  '^src/db/': ['core'],
  '^src/engines/engine\\.ts$': ['core'],
  '^src/engines/(?!engine\\.ts)[^/]+\\.ts$': ['core', 'pipeline', 'engines/[^/]+\\.ts'],
  '^src/storage/object-store\\.ts$': ['core'],
  '^src/engines/([^/]+)/': ['core', 'pipeline', 'engines/[^/]+\\.ts', 'engines/$1'],
  '^src/storage/retry\\.ts$': ['core', 'storage/object-store\\.ts'],
  '^src/storage/([^/]+)/': ['core', 'pipeline', 'storage/object-store\\.ts', 'storage/$1'],
  '^src/operations/': ['core', 'pipeline', 'db', 'engines/engine\\.ts', 'storage/object-store\\.ts'],
  '^src/jobs/': ['core', 'db', 'operations'],
  '^src/auth/': ['core', 'db'],
  '^src/http/v0/': ['core', 'auth', 'operations', 'db', 'http/[^/]+\\.ts'],
  '^src/http/v1/': ['core', 'auth', 'operations', 'db', 'http/[^/]+\\.ts'],
  '^src/http/[^/]+\\.ts$': ['core', 'auth', 'operations', 'db', 'http'],
  '^src/config/': ['core', 'config\\.ts'],
  '^src/site/': [
    ...['core', 'db', 'operations', 'jobs', 'auth', 'http/[^/]+\\.ts', 'config', 'config\\.ts'],
    ...[
      'engines/engine\\.ts',
      'storage/object-store\\.ts',
      'storage/retry\\.ts',
      'log\\.ts',
      'young-generation\\.ts',
    ],
  ],
};

/** Folders whose own files are not in their rule's list. */
const own = (from) => from.match(/^\^(src\/[a-z]+\/(?:v\d\/)?)/)?.[1];

const folderRules = Object.entries(rules).map(([from, allowed]) => {
  const ownFolder = /^\^src\/(engines|storage)\//.test(from) ? [] : [`^${own(from)}`];
  return {
    name: `imports of ${from}`,
    severity: 'error',
    from: { path: from },
    to: {
      path: '^src/',
      pathNot: [...allowed.map((path) => `^src/${path}(/|$)`.replace('\\.ts(/|$)', '\\.ts$')), ...ownFolder],
    },
  };
});

// biome-ignore lint/style/noDefaultExport: dependency-cruiser reads the default export
export default {
  forbidden: [
    ...folderRules,
    {
      name: 'core is pure: no files, no network, no driver',
      severity: 'error',
      from: { path: '^src/core/' },
      to: { pathNot: ['^src/core/', '^(node:)?crypto$', 'node_modules/typebox/'] },
    },
    {
      name: 'the command line is a client: the types of V1, nothing of the service',
      comment:
        'decrypt opens files offline and so uses the pipeline; config/client.ts tells where the service is.',
      severity: 'error',
      from: { path: '^src/cli/', pathNot: '^src/cli/(serve|worker|migrate|doctor|catalog)\\.ts$' },
      to: {
        path: '^src/',
        pathNot: ['^src/cli/', '^src/http/v1/', '^src/core/', '^src/config(\\.ts$|/)', '^src/pipeline/'],
      },
    },
    {
      name: 'only commands that run the service, and main, open app.ts',
      severity: 'error',
      from: { pathNot: '^src/(main|cli/(serve|worker|migrate|doctor|catalog))\\.ts$' },
      to: { path: '^src/app\\.ts$' },
    },
    {
      name: 'app.ts knows no command line',
      severity: 'error',
      from: { path: '^src/app\\.ts$' },
      to: { path: '^src/cli/' },
    },
    {
      name: 'no circles',
      severity: 'error',
      from: { path: '^src/' },
      to: { circular: true },
    },
    {
      name: 'nothing that cannot be found',
      severity: 'error',
      from: { path: '^src/' },
      to: { couldNotResolve: true },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'types'] },
  },
};
