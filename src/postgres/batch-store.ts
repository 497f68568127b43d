import type { StoredBatch } from '../notary/storage.ts';
import type { Connection, Statement } from './connection-pool.ts';

export const STORE_BATCH: Statement = {
  name: 'qm_store_batch_1',
  text: 'INSERT INTO anchor_leaves (cluster_id, anchor_id, leaves, nodes) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING',
};

/**
 * For the transaction only, as SET LOCAL. Both, since a server that has the statement prepared is idle to its own mind while it
 * takes in the values.
 */
export const LIMIT_TRANSACTION: Statement = {
  name: 'qm_limit_transaction_1',
  text: `SELECT set_config('statement_timeout', $1, true), set_config('idle_in_transaction_session_timeout', $1, true)`,
};

/** A database that takes in less is not slow, it is away: 1 MiB in a second. */
const LEAST_BYTES_PER_MS = (1024 * 1024) / 1000;
/** The server gives up later, as with all statements: by then whoever waited has been told. */
const SERVER_GRACE_MS = 30_000;

/**
 * Stores a batch in a transaction of its own, whose time limits grow with its bytes: those of all statements are made for small
 * ones, and on a slow database a big batch would never get done. What is sent travels together.
 *
 * @throws what the driver throws, and NoAnswer
 */
export async function storeBatch(
  connection: Connection,
  clusterId: string,
  { anchorId, leaves, nodes }: StoredBatch,
): Promise<void> {
  const answerTimeoutMs = connection.extendAnswerTimeout(
    Math.ceil((leaves.length + nodes.length) / LEAST_BYTES_PER_MS),
  );
  const steps = await Promise.allSettled([
    connection.control('BEGIN'),
    connection.query(LIMIT_TRANSACTION, [String(answerTimeoutMs + SERVER_GRACE_MS)]),
    connection.query(STORE_BATCH, [clusterId, anchorId, leaves, nodes]),
    connection.control('COMMIT'),
  ]);
  // The first failure is the reason of those after it; the COMMIT of a transaction that failed is none.
  for (const step of steps) if (step.status === 'rejected') throw step.reason;
}
