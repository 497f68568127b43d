export { type BatchTree, batchNodeOffset, hashBatch, hashBatchInSlices } from './batch.ts';
export { CompactRange, type SubtreeVisitor } from './compact-range.ts';
export {
  type ConsistencyProof,
  consistencyPath,
  consistencySubtrees,
  verifyConsistency,
} from './consistency.ts';
export { MerkleError, type MerkleErrorCode } from './error.ts';
export { EMPTY_ROOT, equalHashes, HASH_SIZE } from './hash.ts';
export type { TreeHasher } from './hasher.ts';
export {
  type InclusionProof,
  inclusionPath,
  inclusionSubtrees,
  rootFromInclusionPath,
  verifyInclusion,
} from './inclusion.ts';
export { portableHasher } from './portable.ts';
export { rootFrom, rootSubtrees, type SubtreeHash, type SubtreeId } from './subtree.ts';
export { TILE_HEIGHT, TILE_WIDTH, type TileId, Tiles, tilesOf } from './tile.ts';
