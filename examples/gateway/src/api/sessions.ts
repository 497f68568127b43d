import { randomUUID } from 'node:crypto';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Pool, PoolClient } from 'pg';
import type { AuditLog } from '../audit-log.ts';
import { inTransaction } from '../database.ts';
import { Refusal, text } from './input.ts';

/** Whoever says a name has it: put your authentication here. */
export function sessionRoutes(app: FastifyInstance, pool: Pool, auditLog: AuditLog): void {
  const body = { type: 'object', required: ['actor'], properties: { actor: text(100) } };
  app.post<{ Body: { actor: string } }>('/sessions', { schema: { body } }, async ({ body }, reply) => {
    const { actor } = body;
    const [sessionId, token] = [randomUUID(), randomUUID()];
    const eventId = await inTransaction(pool, async (tx) => {
      await tx.query('INSERT INTO sessions (session_id, token, actor) VALUES ($1, $2, $3)', [
        sessionId,
        token,
        actor,
      ]);
      const classification = 'session_lifecycle';
      return auditLog.record(tx, { actor, action: 'session.opened', subject: sessionId, classification });
    });
    return reply.code(201).header('x-audit-event', eventId).send({ token });
  });

  app.delete('/sessions/current', async (request, reply) => {
    const eventId = await inTransaction(pool, async (tx) => {
      const { sessionId, actor } = await sessionOf(tx, request);
      await tx.query('UPDATE sessions SET closed_at = now() WHERE session_id = $1', [sessionId]);
      const classification = 'session_lifecycle';
      return auditLog.record(tx, { actor, action: 'session.closed', subject: sessionId, classification });
    });
    return reply.code(204).header('x-audit-event', eventId).send();
  });
}

/** @throws {Refusal} 401 */
export async function sessionOf(
  tx: PoolClient,
  { headers }: FastifyRequest,
): Promise<{ readonly sessionId: string; readonly actor: string }> {
  const { rows } = await tx.query<{ session_id: string; actor: string }>(
    'SELECT session_id, actor FROM sessions WHERE token::text = $1 AND closed_at IS NULL FOR SHARE',
    [headers['x-session']],
  );
  if (rows[0] === undefined) throw new Refusal(401, 'the header x-session holds no token of an open session');
  return { sessionId: rows[0].session_id, actor: rows[0].actor };
}
