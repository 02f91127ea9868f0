import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { App } from './context.ts';

/** The OpenAPI document is made from the schemas of the routes; nothing is written down twice. Before the routes. */
export async function addOpenApi(app: App, url: string, version: string): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Forestay',
        version,
        description:
          'Backup, restore, encrypted download and disaster recovery of service instances. Speaks the a9s Public API V0 ' +
          'and V1; what is beyond them is optional. Times are ISO 8601 in UTC, sizes are bytes. Every answer has an ' +
          '`X-Request-Id`, which the log has too.',
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      servers: [{ url }],
      security: [{ bearer: [] }, { session: [] }],
      components: {
        securitySchemes: {
          bearer: { type: 'http', scheme: 'bearer' },
          session: { type: 'apiKey', in: 'cookie', name: 'forestay_session' },
        },
      },
    },
    transformObject: (made) =>
      'openapiObject' in made ? nameOperations(made.openapiObject) : made.swaggerObject,
    refResolver: {
      buildLocalReference: (json, _base, _fragment, index) => String(json.$id ?? `schema-${index}`),
    },
  });
}

/** The document, and a page to read it on, which loads nothing from elsewhere. */
export async function addOpenApiRoutes(app: App): Promise<void> {
  app.get('/openapi.json', { config: { action: 'service.look' }, schema: { hide: true } }, async () =>
    app.swagger(),
  );
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    // By default the page would ask a validator on the internet.
    uiConfig: { validatorUrl: null, deepLinking: true, docExpansion: 'list' },
    // Its bar asks for the address of another document, which nobody needs here.
    theme: {
      title: 'Forestay: the API',
      css: [{ filename: 'forestay.css', content: '.topbar { display: none }' }],
    },
  });
}

interface Paths {
  readonly paths?: Record<string, Record<string, object> | undefined>;
}

/** Gives every operation the name that generated clients call it by. A route may be several: V0's download takes GET and POST. */
function nameOperations<Document extends object>(document: Document): Document {
  const { paths = {} } = document as Paths;
  const named = Object.entries(paths).map(([path, operations = {}]) => [
    path,
    Object.fromEntries(
      Object.entries(operations).map(([method, operation]) => [
        method,
        { operationId: operationIdOf(method, path), ...operation },
      ]),
    ),
  ]);
  return { ...document, paths: Object.fromEntries(named) };
}

/** `GET /v1/instances/{guid}/backups` is `getInstancesByGuidBackups`. */
function operationIdOf(method: string, path: string): string {
  const words =
    path
      .replace(/^\/v1\//, '/')
      .replaceAll('/{', '/by-')
      .match(/[a-z0-9]+/gi) ?? [];
  return method.toLowerCase() + words.map((word) => word[0]!.toUpperCase() + word.slice(1)).join('');
}
