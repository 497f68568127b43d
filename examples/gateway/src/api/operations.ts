import type { FastifyInstance } from 'fastify';
import type { Gateway } from 'quartermaster/gateway';

export function operationRoutes(app: FastifyInstance, gateway: Gateway): void {
  app.get('/metrics', async (_request, reply) => {
    return reply.type('text/plain; version=0.0.4').send(await gateway.prometheus());
  });

  // Fails with the database alone. A notary that is away is something to watch, not a reason to restart this.
  app.get('/healthz', async (_request, reply) => {
    const stats = await gateway.stats().catch(() => undefined);
    if (stats === undefined) return reply.code(503).send({ status: 'no database' });
    const { queuedLeaves, oldestAgeMs, deadLeaves, awaySinceMs, isStopped } = stats;
    const notary = isStopped ? 'not believed' : awaySinceMs === undefined ? 'takes batches' : 'away';
    return { status: 'ok', notary, queuedLeaves, oldestAgeMs, deadLeaves };
  });
}
