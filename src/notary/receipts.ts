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

/** Leaves whose tiles are read and hashed in one go: at most some 4 ms, in which nobody else is served. */
const LEAVES_AT_ONCE = 32;

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
    const stored = await readTiles(storage, clusterId, some);
    // Neighbours share their tiles, which are hashed once.
    const hashed = new Map<number, Tiles>();
    for (const { entry, leafIndex, anchor } of some) {
      const tiles = hashed.get(anchor) ?? new Tiles(hasher);
      hashed.set(anchor, tiles);
      proofs[anchor]?.push(proveLeaf(hasher, entry, leafIndex, tiles, stored));
    }
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

/** What an entry is that no stored head covers. */
export function pastTheEnd(
  { clusterId }: ClusterLog,
  { logIndex }: Pick<Entry, 'logIndex'>,
  { size }: Pick<Head, 'size'>,
): NotaryError {
  return new NotaryError(
    'LOG_CORRUPT',
    `entry ${logIndex} of cluster ${clusterId} is past the end of the log, which has ${size} entries`,
  );
}

/** @throws NotaryError LEAF_INDEX_OUT_OF_RANGE */
export function checkLeafIndex({ anchorId, leafCount }: Entry, leafIndex: number): void {
  if (leafIndex < leafCount) return;
  throw new NotaryError(
    'LEAF_INDEX_OUT_OF_RANGE',
    `leaf_index ${leafIndex} is not in anchor ${anchorId}, which has ${leafCount} leaves`,
  );
}

/** Packed hashes by `keyOf`. */
type StoredTiles = ReadonlyMap<string, Uint8Array>;

const keyOf = ({ anchorId }: Entry, { level, index }: TileId) => `${anchorId}/${level}/${index}`;

/** What a leaf's path is made from: its 256 leaves, and a row of at most 256 hashes for each level above. */
function tilesOfLeaf({ leafCount }: Entry, leafIndex: number): TileId[] {
  return tilesOf([{ level: 0, index: leafIndex }, ...inclusionSubtrees(leafIndex, leafCount)]);
}

async function readTiles(
  storage: Storage,
  clusterId: string,
  wanted: readonly { readonly entry: Entry; readonly leafIndex: number }[],
): Promise<StoredTiles> {
  const ranges = new Map<string, BatchRange>();
  for (const { entry, leafIndex } of wanted) {
    for (const tile of tilesOfLeaf(entry, leafIndex)) ranges.set(keyOf(entry, tile), rangeOf(entry, tile));
  }
  const packed = await storage.readBatchRanges(clusterId, [...ranges.values()]);
  return new Map([...ranges.keys()].map((key, i) => [key, packed[i] ?? new Uint8Array()]));
}

function rangeOf({ anchorId = '', leafCount }: Entry, { level, index }: TileId): BatchRange {
  const inRow = Math.floor(leafCount / TILE_WIDTH ** level);
  const first = index * TILE_WIDTH;
  const count = Math.min(TILE_WIDTH, inRow - first);
  return level === 0
    ? { anchorId, column: 'leaves', first, count }
    : { anchorId, column: 'nodes', first: batchNodeOffset(leafCount, level, first), count };
}

/** @param tiles of this anchor, to which what is missing is added */
function proveLeaf(
  hasher: TreeHasher,
  entry: Entry,
  leafIndex: number,
  tiles: Tiles,
  stored: StoredTiles,
): LeafProof {
  const { anchorId, leafCount, root } = entry;
  for (const tile of tilesOfLeaf(entry, leafIndex)) {
    const hashes = stored.get(keyOf(entry, tile));
    if (hashes === undefined || tiles.has(tile.level, tile.index)) continue;
    tiles.put(tile.level, tile.index, tile.level === 0 ? hasher.leafHashes(hashes) : hashes);
  }
  const index = Math.floor(leafIndex / TILE_WIDTH);
  const at = (leafIndex % TILE_WIDTH) * 32;
  const leaf = stored.get(keyOf(entry, { level: 0, index }))?.subarray(at, at + 32);
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
