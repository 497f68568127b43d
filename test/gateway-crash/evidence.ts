import type pg from 'pg';
import { fastHasher } from '../../src/merkle/fast.ts';
import { verifyEd25519Natively } from '../../src/native/ed25519.ts';
import { parseTlogProof, verifyReceipt } from '../../src/verify/index.ts';
import type { LoggedAnchor } from '../gateway/notary-log.ts';
import { receiptOf } from '../integration/careful-caller.ts';
import type { NotaryClient } from '../integration/notary-under-test.ts';
import type { LivedLife } from './life.ts';
import type { RunPlan } from './plan.ts';
import type { ReportLine } from './report.ts';

/** All that there is to judge a run by. */
export interface Evidence {
  readonly plan: RunPlan;
  /** `audit_events`, in the order of the commits */
  readonly rows: readonly EventRow[];
  readonly log: readonly LoggedAnchor[];
  /** of all lives of all processes */
  readonly report: readonly ReportLine[];
  readonly lives: readonly LivedLife[];
  /** the last life's, which was not killed */
  readonly last: LivedLife;
}

export interface EventRow {
  readonly eventId: string;
  /** hex */
  readonly leaf: string;
  readonly notarized: boolean;
  readonly anchorId: string | null;
  readonly leafIndex: number | null;
  /** why its receipts do not verify; undefined where they do */
  readonly refusal: string | undefined;
}

const FAST = { hasher: fastHasher, verifyEd25519: verifyEd25519Natively };

/** Reads what the database and the notary say now, and verifies a receipt of each event under the pinned key. */
export async function readRows(
  database: pg.Pool,
  notary: NotaryClient,
  vkey: string,
): Promise<readonly EventRow[]> {
  const { rows } = await database.query<{
    event_id: string;
    leaf: Buffer;
    notarized: boolean;
    anchor_id: string | null;
    leaf_index: number | null;
    receipt: string | null;
  }>('SELECT event_id, leaf, notarized, anchor_id, leaf_index, receipt FROM audit_events ORDER BY number');
  return await Promise.all(
    rows.map(async ({ event_id, leaf, notarized, anchor_id: anchorId, leaf_index: leafIndex, receipt }) => {
      let refusal: string | undefined;
      if (anchorId !== null && leafIndex !== null) {
        const expected = { leaf: new Uint8Array(leaf), anchorId, leafIndex };
        try {
          const fetched = await notary.getInclusionProof({ anchorId, leafIndex });
          verifyReceipt(receiptOf(fetched.receipt), expected, { logKeys: [vkey] }, FAST);
          // What `onAnchored` was given, where the application keeps it.
          if (receipt !== null) verifyReceipt(parseTlogProof(receipt), expected, { logKeys: [vkey] }, FAST);
        } catch (error) {
          refusal = String(error);
        }
      }
      return { eventId: event_id, leaf: leaf.toString('hex'), notarized, anchorId, leafIndex, refusal };
    }),
  );
}
