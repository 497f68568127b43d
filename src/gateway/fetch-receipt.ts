import type { ChannelCredentials } from '@grpc/grpc-js';
import type { Receipt } from '../verify/index.ts';
import { GrpcLink } from './grpc-link.ts';

/** Which leaf, and whom to ask. */
export interface ReceiptRequest {
  /** `host:port` of the notary, or any target of gRPC */
  readonly endpoint: string;
  /** UUID of the anchor, as kept with the event */
  readonly anchorId: string;
  /** position of the leaf in it, from 0, as kept with the event */
  readonly leafIndex: number;
  /** UUID of the cluster; saves the notary a lookup over all of them */
  readonly clusterId?: string | undefined;
  /** Default: plain text. */
  readonly credentials?: ChannelCredentials | undefined;
  /** Default: 10,000. */
  readonly timeoutMs?: number | undefined;
}

/**
 * Asks a notary for the receipt of one leaf, under its newest checkpoint: for auditors, who have the event's row and nothing else.
 * It is what the notary says; `verifyReceipt` of `quartermaster/verify` says whether it is true.
 *
 * @example
 * ```ts
 * import { fetchReceipt } from 'quartermaster/gateway';
 * import { formatTlogProof, leafOf, verifyReceipt } from 'quartermaster/verify';
 *
 * const receipt = await fetchReceipt({ endpoint, anchorId: row.anchor_id, leafIndex: row.leaf_index });
 * await writeFile('event.tlog-proof', formatTlogProof(receipt));
 * verifyReceipt(receipt, { leaf: leafOf(row.event, row.salt) }, { logKeys: [vkey] });
 * ```
 * @throws a `ServiceError` of `@grpc/grpc-js`: NOT_FOUND (5) for an unknown anchor, OUT_OF_RANGE (11) for a leaf index past its
 *   end, UNAVAILABLE (14) or DEADLINE_EXCEEDED (4) where no notary answers
 */
export async function fetchReceipt(request: ReceiptRequest): Promise<Receipt> {
  const { anchorId, leafIndex, clusterId = '', timeoutMs = 10_000 } = request;
  const link = new GrpcLink(request);
  try {
    const limits = { timeoutMs, signal: new AbortController().signal };
    return await link.getReceipt({ clusterId, anchorId, leafIndex }, limits);
  } finally {
    link.close();
  }
}
