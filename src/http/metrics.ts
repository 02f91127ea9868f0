import { Gauge, Registry } from 'prom-client';
import { Type } from 'typebox';
import { recoveryPoints } from '../operations/recovery-points.ts';
import type { App, HttpContext } from './context.ts';
import { errors } from './documented.ts';

/** `GET /metrics`, in the text format of Prometheus: what is measured is read from the database when somebody asks. */
export function metricsRoutes(app: App, { operations }: HttpContext): void {
  const registry = new Registry();
  const age = new Gauge({
    name: 'forestay_recovery_point_age_seconds',
    help: 'Age of the newest backup of an instance that a store holds whole; +Inf where it holds none.',
    labelNames: ['instance_id', 'store', 'role'],
    registers: [registry],
  });

  app.get(
    '/metrics',
    {
      config: { action: 'metrics.view' },
      schema: {
        ...{ tags: ['Service'], summary: 'Measurements, for Prometheus' },
        description: 'For operators: give Prometheus a token with `authorization: {credentials: …}`.',
        response: { 200: Type.String({ description: 'The text format of Prometheus.' }), ...errors() },
      },
    },
    async (_request, reply) => {
      const now = Date.now();
      const points = await recoveryPoints(operations);
      // From here on nothing waits, so that two who ask at once do not mix.
      age.reset();
      for (const { instanceGuid, store, role, newest } of points) {
        const seconds = newest
          ? Math.max(0, (now - newest.takenAt.getTime()) / 1000)
          : Number.POSITIVE_INFINITY;
        age.set({ instance_id: instanceGuid, store, role }, seconds);
      }
      return reply.type(registry.contentType).send(await registry.metrics());
    },
  );
}
