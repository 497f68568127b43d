import type { Verdict } from '../verify/index.ts';

/** For people; follows "this line is ". */
export function describeVerdict(verdict: Verdict): string {
  return [
    `leaf ${verdict.leafIndex} of ${verdict.leafCount} in anchor ${verdict.anchorId}`,
    `created ${new Date(verdict.createdAtMs).toISOString()} by the notary's clock`,
    `entry ${verdict.logIndex} of a log of ${verdict.treeSize}: ${verdict.origin}`,
  ].join(', ');
}

export function verdictAsJson(verdict: Verdict): Readonly<Record<string, unknown>> {
  return {
    verified: true,
    origin: verdict.origin,
    cluster_id: verdict.clusterId,
    anchor_id: verdict.anchorId,
    leaf_index: verdict.leafIndex,
    leaf_count: verdict.leafCount,
    log_index: verdict.logIndex,
    tree_size: verdict.treeSize,
    created_at: new Date(verdict.createdAtMs).toISOString(),
    signers: verdict.signers,
  };
}
