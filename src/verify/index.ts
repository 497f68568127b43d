// Offline verification: receipts, checkpoints, and the answers to a gateway's own calls. Pure: runs in browsers.

export {
  formatTlogProof,
  NoteError,
  type NoteErrorCode,
  parseTlogProof,
  type TlogProof,
  type VerifierKey,
} from '../note/index.ts';
export {
  type AnchorRequest,
  type AnchorResponse,
  type VerifiedAnchor,
  verifyAnchorResponse,
} from './anchor-response.ts';
export { type VerifiedCheckpoint, verifyCheckpoint, verifyCheckpointConsistency } from './checkpoint.ts';
export { VerificationError, type VerificationErrorCode } from './error.ts';
export { EVENT_COMMITMENT_TYPE, hashEvent, leafOf, SALT_SIZE } from './event-leaf.ts';
export type { Policy, VerifyOptions } from './policy.ts';
export { type Expected, type Receipt, type Verdict, verifyReceipt } from './receipt.ts';
