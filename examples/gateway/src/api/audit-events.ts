import type { FastifyInstance } from 'fastify';
import type { AuditLog } from '../audit-log.ts';
import { ID, Refusal } from './input.ts';

/** For auditors. Whoever may see an event may see its salt. */
export function auditEventRoutes(app: FastifyInstance, auditLog: AuditLog): void {
  app.get<{ Params: { id: string } }>('/audit-events/:id', { schema: { params: ID } }, async ({ params }) => {
    const row = await auditLog.find(params.id);
    if (row === undefined) throw new Refusal(404, 'there is no such event');
    return row;
  });
}
