import type { FastifyInstance } from 'fastify';
import type { Gateway } from 'quartermaster/gateway';

export function operationRoutes(app: FastifyInstance, gateway: Gateway): void {
  app.get('/metrics', async (_request, reply) => {
    return reply.type('text/plain; version=0.0.4').send(await gateway.prometheus());
  });

  // Answers as long as the database does. A notary that is away is something to watch, not a reason to restart this.
  app.get('/healthz', async () => {
    const { queuedLeaves, oldestAgeMs, deadLeaves, awaySinceMs, isStopped } = await gateway.stats();
    const notary = isStopped ? 'not believed' : awaySinceMs === undefined ? 'takes batches' : 'away';
    return {
      status: 'ok',
      notary,
      queued_leaves: queuedLeaves,
      oldest_age_ms: oldestAgeMs,
      dead_leaves: deadLeaves,
    };
  });
}
