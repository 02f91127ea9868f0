import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import cookie from '@fastify/cookie';
import helmet from '@fastify/helmet';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import fastify, { LogController } from 'fastify';
import { addAccessControl } from './access.ts';
import { type App, defaultBodyLimit, type HttpContext, type HttpSettings, makeContext } from './context.ts';
import { V0ErrorBody } from './documented.ts';
import { sendError } from './errors.ts';
import { healthRoutes } from './health.ts';
import { addBodyParsers } from './json-body.ts';
import { metricsRoutes } from './metrics.ts';
import { addNotFound } from './not-found.ts';
import { addOpenApi, addOpenApiRoutes } from './openapi.ts';
import { addRequestLog, requestId } from './request-log.ts';
import { ErrorBody, MessageBody } from './schemas.ts';
import { endUnusedConnections } from './unused-connections.ts';
import { V0ListBody, v0BackupRoutes } from './v0/backups.ts';
import { v0DashboardRoutes } from './v0/dashboard.ts';
import { v0DownloadRoutes } from './v0/download.ts';
import { BackupConfigBody, backupConfigRoutes } from './v1/backup-config.ts';
import { BackupBody, BackupRequestedBody, backupRoutes, RestoreRequestedBody } from './v1/backups.ts';
import { disasterRecoveryRoutes, PerformedBody, PreparedBody } from './v1/disaster-recovery.ts';
import { downloadRoutes } from './v1/download.ts';
import { EngineBody, engineRoutes } from './v1/engines.ts';
import { InstanceBody, instanceRoutes, RegisteredInstanceBody } from './v1/instances.ts';
import { RecoveryPointBody, recoveryPointRoutes } from './v1/recovery-points.ts';
import { RestorePlanBody, restorePlanRoutes } from './v1/restore-plan.ts';
import { RestoreBody, restoreRoutes } from './v1/restores.ts';
import { CreatedTokenBody, TokenBody, tokenRoutes } from './v1/tokens.ts';
import { validatorCompiler } from './validation.ts';

const sharedSchemas = [
  ...[ErrorBody, V0ErrorBody, MessageBody, V0ListBody, BackupBody, BackupRequestedBody, RestoreRequestedBody],
  ...[
    RestoreBody,
    RecoveryPointBody,
    RestorePlanBody,
    InstanceBody,
    RegisteredInstanceBody,
    EngineBody,
    BackupConfigBody,
    PreparedBody,
    PerformedBody,
  ],
  ...[TokenBody, CreatedTokenBody],
];

/**
 * The HTTP server, not listening yet. It remembers nothing between requests, so any number of them may run on one database.
 * `close()` ends idle and unused connections at once and breaks off downloads, whose clients resume or try again.
 */
export async function createServer(settings: HttpSettings): Promise<App> {
  const app: App = fastify({
    loggerInstance: settings.log,
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'request_id' }),
    genReqId: requestId,
    bodyLimit: settings.bodyLimit ?? defaultBodyLimit,
    // For a request to arrive whole; the answer may take any time.
    requestTimeout: 120_000,
    return503OnClosing: false,
    routerOptions: { ignoreTrailingSlash: true, ignoreDuplicateSlashes: true, maxParamLength: 500 },
    frameworkErrors: (error, request, reply) => {
      void reply.header('x-request-id', request.id);
      sendError(error, request, reply);
    },
    clientErrorHandler: answerUnreadable,
  }).withTypeProvider<TypeBoxTypeProvider>();
  const context = makeContext(settings, app);

  const shutdown = new AbortController();
  app.decorate('shutdown', shutdown.signal);
  app.addHook('preClose', async () => shutdown.abort(new Error('The server is shutting down.')));
  endUnusedConnections(app);
  app.setValidatorCompiler(validatorCompiler);
  app.setErrorHandler(sendError);
  addRequestLog(app);
  // What waits for nothing calls back instead of making a promise for every request.
  app.addHook('onRequest', (request, reply, done) => {
    void reply.headers({
      'x-request-id': request.id,
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
    });
    done();
  });
  await app.register(cookie);
  addNotFound(app);
  addBodyParsers(app);
  for (const schema of sharedSchemas) app.addSchema(schema);
  await addOpenApi(app, settings.publicUrl ?? '/', context.version);
  addAccessControl(app, context);

  await app.register(async (pages: App) => {
    await pages.register(helmet, helmetOptions(context));
    v0DashboardRoutes(pages, context);
    await addOpenApiRoutes(pages);
  });
  v0BackupRoutes(app, context);
  v0DownloadRoutes(app, context);
  instanceRoutes(app, context);
  engineRoutes(app, context);
  backupRoutes(app, context);
  downloadRoutes(app, context);
  restoreRoutes(app, context);
  recoveryPointRoutes(app, context);
  restorePlanRoutes(app, context);
  backupConfigRoutes(app, context);
  disasterRecoveryRoutes(app, context);
  tokenRoutes(app, context);
  healthRoutes(app, context);
  metricsRoutes(app, context);
  await app.ready();
  return app;
}

/** For what a browser shows. A site that is reached by plain http must not send browsers to https. */
function helmetOptions({ publicUrl }: HttpContext) {
  const isHttps = publicUrl.startsWith('https:');
  return {
    strictTransportSecurity: isHttps,
    contentSecurityPolicy: {
      directives: {
        defaultSrc: ["'self'"],
        // The page of the API's documentation styles itself inline.
        styleSrc: ["'self'", "'unsafe-inline'"],
        imgSrc: ["'self'", 'data:'],
        frameAncestors: ["'none'"],
        upgradeInsecureRequests: isHttps ? [] : null,
      },
    },
  };
}

/** How long a client that sent something unreadable may take for the answer, in milliseconds. */
const lingerMs = 2000;

/** What is no HTTP, or has headers without end, never becomes a request; it is answered in the shape of the API. */
function answerUnreadable(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed || !socket.writable) {
    socket.destroy(error);
    return;
  }
  const status =
    error.code === 'HPE_HEADER_OVERFLOW' ? 431 : error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 408 : 400;
  const body = JSON.stringify({ error: 'BadRequest', description: 'The request cannot be read.' });
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
  );
  // Nothing watches this connection any more, and a client that keeps its side of it open would keep it for ever.
  const timer = setTimeout(() => socket.destroy(), lingerMs);
  socket.once('close', () => clearTimeout(timer));
}
