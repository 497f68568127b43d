import { randomUUID } from 'node:crypto';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Pool, PoolClient } from 'pg';
import type { Classification, Fidelity } from 'quartermaster/gateway';
import type { AuditLog } from '../audit-log.ts';
import { inTransaction } from '../database.ts';
import { ID, Refusal, text } from './input.ts';
import { sessionOf } from './sessions.ts';

interface Approval {
  readonly approval_id: string;
  readonly title: string;
  readonly fidelity: Fidelity;
  readonly requested_by: string;
  readonly state: 'pending' | 'approved' | 'rejected';
  readonly decided_by: string | null;
}

const REQUEST = {
  type: 'object',
  required: ['title'],
  properties: {
    title: text(1_000),
    fidelity: { enum: ['standard', 'always_notarize', 'log_only'], default: 'standard' },
  },
};
const DECISION = {
  type: 'object',
  required: ['state'],
  properties: { state: { enum: ['approved', 'rejected'] } },
};

/** Ask for something, look at it, decide on it. */
export function approvalRoutes(app: FastifyInstance, pool: Pool, auditLog: AuditLog): void {
  /** The deed and its audit event in one transaction: no deed without a trace, no trace without the deed. */
  async function audited(
    request: FastifyRequest,
    reply: FastifyReply,
    classification: Classification,
    work: (tx: PoolClient, actor: string) => Promise<{ action: string; approval: Approval }>,
  ): Promise<FastifyReply> {
    const { approval, eventId } = await inTransaction(pool, async (tx) => {
      const { actor } = await sessionOf(tx, request);
      const { action, approval } = await work(tx, actor);
      const { approval_id: subject, fidelity } = approval;
      const eventId = await auditLog.record(tx, { actor, action, subject, classification, fidelity });
      return { approval, eventId };
    });
    return reply.header('x-audit-event', eventId).send(approval);
  }

  app.post<{ Body: { title: string; fidelity: Fidelity } }>(
    '/approvals',
    { schema: { body: REQUEST } },
    (request, reply) =>
      audited(request, reply.code(201), 'mutation', async (tx, actor) => {
        const { title, fidelity } = request.body;
        const { rows } = await tx.query<Approval>(
          'INSERT INTO approvals (approval_id, title, fidelity, requested_by) VALUES ($1, $2, $3, $4) RETURNING *',
          [randomUUID(), title, fidelity, actor],
        );
        return { action: 'approval.requested', approval: found(rows) };
      }),
  );

  // A look is written down as well; whether it is worth an anchor says the fidelity of what was looked at.
  app.get<{ Params: { id: string } }>('/approvals/:id', { schema: { params: ID } }, (request, reply) =>
    audited(request, reply, 'read', async (tx) => {
      const { rows } = await tx.query<Approval>('SELECT * FROM approvals WHERE approval_id = $1', [
        request.params.id,
      ]);
      return { action: 'approval.read', approval: found(rows) };
    }),
  );

  app.put<{ Params: { id: string }; Body: { state: 'approved' | 'rejected' } }>(
    '/approvals/:id/decision',
    { schema: { params: ID, body: DECISION } },
    (request, reply) =>
      audited(request, reply, 'mutation', async (tx, actor) => {
        const { state } = request.body;
        const { rows } = await tx.query<Approval>(
          `UPDATE approvals SET state = $2, decided_by = $3
           WHERE approval_id = $1 AND state = 'pending' RETURNING *`,
          [request.params.id, state, actor],
        );
        if (rows[0] === undefined) throw new Refusal(409, 'there is no such approval that is pending');
        return { action: `approval.${state}`, approval: rows[0] };
      }),
  );
}

function found(rows: readonly Approval[]): Approval {
  const [approval] = rows;
  if (approval === undefined) throw new Refusal(404, 'there is no such approval');
  return approval;
}
