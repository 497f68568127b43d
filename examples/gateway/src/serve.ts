import Fastify from 'fastify';
import { Pool } from 'pg';
import { createGateway } from 'quartermaster/gateway';
import { postgresOutbox } from 'quartermaster/gateway/postgres';
import { approvalRoutes } from './api/approvals.ts';
import { auditEventRoutes } from './api/audit-events.ts';
import { operationRoutes } from './api/operations.ts';
import { sessionRoutes } from './api/sessions.ts';
import { AuditLog } from './audit-log.ts';
import type { Configuration } from './configuration.ts';
import { migrate } from './database.ts';

/** Serves until somebody says SIGTERM or SIGINT, then ends in order. */
export async function serve(configuration: Configuration): Promise<void> {
  const app = Fastify({ logger: true });
  const pool = new Pool({ connectionString: configuration.databaseUrl });
  pool.on('error', (error) => app.log.warn({ err: error }, 'an idle connection to the database was lost'));

  const outbox = postgresOutbox({
    pool,
    // Its rows get anchor_id, leaf_index and notarized; reconcile() looks for those that should have an anchor.
    events: { table: 'audit_events', only: { notarize: true } },
  });
  await migrate(pool);
  await outbox.migrate();

  const gateway = createGateway({
    endpoint: configuration.notaryEndpoint,
    clusterId: configuration.clusterId,
    verification: { keys: configuration.notaryKeys },
    outbox,
    logger: app.log,
  });
  await gateway.ready;

  const auditLog = new AuditLog(pool, outbox);
  sessionRoutes(app, pool, auditLog);
  approvalRoutes(app, pool, auditLog);
  auditEventRoutes(app, auditLog);
  operationRoutes(app, gateway);

  const signalled = untilSignal();
  await app.listen({ host: configuration.host, port: configuration.port });
  app.log.info(`${await signalled}: stopping`);
  // Requests first, then what they have queued, then the connections of both. What is left is sent by the next process.
  await app.close();
  await gateway.close({ timeoutMs: 5_000 });
  await pool.end();
}

/** Ctrl-C under npm arrives twice, so the second is not taken for impatience. */
function untilSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    process.on('SIGTERM', resolve);
    process.on('SIGINT', resolve);
  });
}
