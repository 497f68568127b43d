// Signed notes, checkpoints, keys and proofs on disk. Pure: runs in browsers.

export { decodeBase64, encodeBase64 } from './base64.ts';
export {
  assembleCheckpoint,
  type Checkpoint,
  formatCheckpointText,
  parseCheckpoint,
  parseCheckpointText,
} from './checkpoint.ts';
export { isSize, parseDecimal } from './decimal.ts';
export { type Ed25519Verifier, publicKeyEd25519, signEd25519, verifyEd25519 } from './ed25519.ts';
export { NoteError, type NoteErrorCode } from './error.ts';
export { type Head, type HeadToMac, headMac, headMacMessage, verifyHeadMac } from './head-mac.ts';
export { deriveKey, type KeyPurpose, MASTER_SEED_SIZE, seedId } from './keys.ts';
export {
  formatNote,
  MAX_NOTE_LENGTH,
  MAX_SIGNATURES,
  type Note,
  parseNote,
  type SignatureLine,
} from './note.ts';
export { checkOrigin, MAX_ORIGIN_BYTES } from './origin.ts';
export { formatTlogProof, parseTlogProof, type TlogProof } from './tlog-proof.ts';
export {
  type VerifiedNote,
  type VerifiedSignature,
  type VerifyNoteOptions,
  verifyNote,
} from './verify-note.ts';
export {
  COSIGNATURE_V1,
  ED25519,
  ed25519Vkey,
  formatVkey,
  keyId,
  ML_DSA_44,
  parseVkey,
  type VerifierKey,
} from './vkey.ts';
