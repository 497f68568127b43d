import {
  batchNodeOffset,
  equalHashes,
  inclusionPath,
  inclusionSubtrees,
  rootFromInclusionPath,
  TILE_WIDTH,
  type TileId,
  Tiles,
  type TreeHasher,
  tilesOf,
} from '../merkle/index.ts';
import type { ClusterLog } from './cluster-log.ts';
import { NotaryError } from './error.ts';
import type { LeafProof, RecordProof } from './service.ts';
import type { BatchRange, Entry, Head, Storage } from './storage.ts';

/** An anchor and the leaves of it that somebody wants to prove. */
export interface LeavesToProve {
  readonly entry: Entry;
  readonly leafIndexes: readonly number[];
}

/** Stored hashes read at once: bounds the memory of one call to a few MiB. */
const LEAVES_AT_ONCE = 128;

/**
 * Paths from leaves to the roots of their anchors, each checked before it leaves the house.
 *
 * @throws NotaryError LEAF_INDEX_OUT_OF_RANGE, LOG_CORRUPT; StorageError
 */
export async function proveLeaves(
  storage: Storage,
  hasher: TreeHasher,
  clusterId: string,
  anchors: readonly LeavesToProve[],
): Promise<LeafProof[][]> {
  for (const { entry, leafIndexes } of anchors) {
    for (const leafIndex of leafIndexes) checkLeafIndex(entry, leafIndex);
  }
  const proofs: LeafProof[][] = anchors.map(() => []);
  const wanted = anchors.flatMap(({ entry, leafIndexes }, anchor) =>
    leafIndexes.map((leafIndex) => ({ entry, leafIndex, anchor })),
  );
  for (let from = 0; from < wanted.length; from += LEAVES_AT_ONCE) {
    const some = wanted.slice(from, from + LEAVES_AT_ONCE);
    const needs = some.map(({ entry, leafIndex }) => tilesOfLeaf(entry, leafIndex));
    const ranges = new Map<string, BatchRange>();
    for (const { tiles } of needs) for (const { key, range } of tiles) ranges.set(key, range);
    const packed = await storage.readBatchRanges(clusterId, [...ranges.values()]);
    const bytes = new Map([...ranges.keys()].map((key, i) => [key, packed[i]]));
    some.forEach(({ entry, leafIndex, anchor }, i) => {
      const tiles = (needs[i]?.tiles ?? []).map(({ key, tile }) => ({ tile, hashes: bytes.get(key) }));
      proofs[anchor]?.push(proveLeaf(hasher, entry, leafIndex, tiles));
    });
  }
  return proofs;
}

/** The path from a record to a head, checked before it leaves the house. @throws NotaryError LOG_CORRUPT */
export async function proveRecord(
  log: ClusterLog,
  hasher: TreeHasher,
  { record, recordHash, logIndex }: Entry,
  head: Pick<Head, 'size' | 'root'>,
): Promise<RecordProof> {
  const path = await log.inclusionPath(logIndex, head.size);
  const leafHash = hasher.leafHash(record);
  const root = rootFromInclusionPath(hasher, { leafHash, index: logIndex, size: head.size, path });
  if (!equalHashes(root, head.root)) {
    const what = equalHashes(leafHash, recordHash) ? 'the log around it' : 'the record';
    throw new NotaryError(
      'LOG_CORRUPT',
      `entry ${logIndex} of cluster ${log.clusterId}: ${what} was changed after it was signed`,
    );
  }
  return { record, logIndex, recordPath: path };
}

/** @throws NotaryError LEAF_INDEX_OUT_OF_RANGE */
export function checkLeafIndex({ anchorId, leafCount }: Entry, leafIndex: number): void {
  if (leafIndex < leafCount) return;
  throw new NotaryError(
    'LEAF_INDEX_OUT_OF_RANGE',
    `leaf_index ${leafIndex} is not in anchor ${anchorId}, which has ${leafCount} leaves`,
  );
}

/** The stored ranges that a leaf's path is made from: its 256 leaves, and a row of at most 256 hashes for each level above. */
function tilesOfLeaf({ anchorId, leafCount }: Entry, leafIndex: number) {
  const ids = tilesOf([{ level: 0, index: leafIndex }, ...inclusionSubtrees(leafIndex, leafCount)]);
  const tiles = ids.map((tile) => ({
    tile,
    key: `${anchorId}/${tile.level}/${tile.index}`,
    range: rangeOf(anchorId ?? '', leafCount, tile),
  }));
  return { tiles };
}

function rangeOf(anchorId: string, leafCount: number, { level, index }: TileId): BatchRange {
  const inRow = Math.floor(leafCount / TILE_WIDTH ** level);
  const first = index * TILE_WIDTH;
  const count = Math.min(TILE_WIDTH, inRow - first);
  return level === 0
    ? { anchorId, column: 'leaves', first, count }
    : { anchorId, column: 'nodes', first: batchNodeOffset(leafCount, level, first), count };
}

function proveLeaf(
  hasher: TreeHasher,
  { anchorId, leafCount, root }: Entry,
  leafIndex: number,
  stored: readonly { readonly tile: TileId; readonly hashes: Uint8Array | undefined }[],
): LeafProof {
  const tiles = new Tiles(hasher);
  let leaf: Uint8Array | undefined;
  for (const { tile, hashes } of stored) {
    if (hashes === undefined) continue;
    tiles.put(tile.level, tile.index, tile.level === 0 ? hasher.leafHashes(hashes) : hashes);
    const at = leafIndex - tile.index * TILE_WIDTH;
    if (tile.level === 0 && at >= 0 && at < TILE_WIDTH) leaf = hashes.subarray(at * 32, at * 32 + 32);
  }
  if (leaf === undefined) throw new Error(`leaf ${leafIndex} of anchor ${anchorId} was not read`);
  const leafPath = inclusionPath(hasher, leafIndex, leafCount, tiles.subtree);
  const proven = rootFromInclusionPath(hasher, {
    leafHash: hasher.leafHash(leaf),
    index: leafIndex,
    size: leafCount,
    path: leafPath,
  });
  if (root === undefined || !equalHashes(proven, root)) {
    throw new NotaryError(
      'LOG_CORRUPT',
      `leaf ${leafIndex} of anchor ${anchorId}: the stored leaves were changed after they were anchored`,
    );
  }
  return { leaf, leafIndex, leafPath };
}
