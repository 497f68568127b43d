import type { NotaryClient } from '../integration/notary-under-test.ts';

/** An anchor as the notary's log has it. */
export interface LoggedAnchor {
  readonly anchorId: string;
  readonly logIndex: number;
  readonly requestId: string;
  /** hex, by leaf_index */
  readonly leaves: readonly string[];
}

/** What is in the log of a cluster, by log_index: through ListAnchors and ListLeaves, page by page. */
export async function readLog(notary: NotaryClient, clusterId: string): Promise<LoggedAnchor[]> {
  const anchors: LoggedAnchor[] = [];
  for (let pageToken = ''; ; ) {
    const page = await notary.listAnchors({ clusterId, pageSize: 100, pageToken });
    for (const { anchorId, logIndex, requestId } of page.anchors) {
      const leaves = await leavesOf(notary, clusterId, anchorId);
      anchors.push({ anchorId, logIndex: Number(logIndex), requestId, leaves });
    }
    pageToken = page.nextPageToken;
    if (pageToken === '') return anchors;
  }
}

async function leavesOf(notary: NotaryClient, clusterId: string, anchorId: string): Promise<string[]> {
  const leaves: string[] = [];
  for (let pageToken = ''; ; ) {
    const page = await notary.listLeaves({ clusterId, anchorId, pageSize: 1_000, pageToken });
    const hex = Buffer.from(page.packedLeaves).toString('hex');
    leaves.push(...(hex.match(/.{64}/g) ?? []));
    pageToken = page.nextPageToken;
    if (pageToken === '') return leaves;
  }
}
