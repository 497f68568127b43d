import { createHash } from 'node:crypto';
import { expect } from '@jest/globals';
import {
  assembleCheckpoint,
  ed25519Vkey,
  formatCheckpointText,
  formatVkey,
  publicKeyEd25519,
  signEd25519,
} from '../../src/note/index.ts';
import { type AnchorRecord, formatAnchorRecord } from '../../src/record/index.ts';
import { type Receipt, VerificationError, type VerificationErrorCode } from '../../src/verify/index.ts';
import { naiveInclusionPath, naiveRoot } from './naive-tree.ts';

/** A log kept in memory, whose trees are the naive ones. Nothing stops a test from making it lie. */
export class TestLog {
  readonly clusterId: string;
  readonly origin: string;
  readonly entries: Uint8Array[] = [];
  readonly #seed: Uint8Array;

  constructor(clusterId: string, seedByte: number, prefix = 'notary.example/logs') {
    this.clusterId = clusterId;
    this.origin = `${prefix}/${clusterId}`;
    this.#seed = new Uint8Array(32).fill(seedByte);
  }

  get vkey(): string {
    return formatVkey(ed25519Vkey(this.origin, publicKeyEd25519(this.#seed)));
  }

  /** Appends the record of a batch and returns its log index. */
  append(leaves: readonly Uint8Array[], fields: Partial<AnchorRecord> = {}): number {
    const number = this.entries.length;
    this.entries.push(
      formatAnchorRecord({
        anchorId: `0195c3a0-1c00-7000-8000-${number.toString(16).padStart(12, '0')}`,
        clusterId: this.clusterId,
        leafCount: leaves.length,
        root: naiveRoot(leaves),
        etcdRevision: 0n,
        createdAtMs: 1_700_000_000_000 + number,
        ...fields,
      }),
    );
    return number;
  }

  checkpoint(size = this.entries.length, root = naiveRoot(this.entries.slice(0, size))): string {
    return this.sign(formatCheckpointText({ origin: this.origin, size, root }));
  }

  sign(text: string): string {
    const { name, keyId } = ed25519Vkey(this.origin, publicKeyEd25519(this.#seed));
    return assembleCheckpoint(text, [
      { name, keyId, signature: signEd25519(this.#seed, new TextEncoder().encode(text)) },
    ]);
  }

  receipt(logIndex: number, leaves: readonly Uint8Array[], leafIndex: number): Receipt {
    return {
      leafIndex,
      leafPath: naiveInclusionPath(leafIndex, leaves),
      record: this.entries[logIndex]!,
      logIndex,
      recordPath: naiveInclusionPath(logIndex, this.entries),
      checkpoint: this.checkpoint(),
    };
  }
}

export function leavesOf(count: number, seed = 'event'): Uint8Array[] {
  return Array.from(
    { length: count },
    (_, index) => new Uint8Array(createHash('sha256').update(`${seed} ${index}`).digest()),
  );
}

/** Expects a VerificationError with one of these codes. */
export function expectRefusal(act: () => unknown, ...codes: VerificationErrorCode[]): void {
  let thrown: unknown;
  try {
    act();
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(VerificationError);
  expect(codes).toContain((thrown as VerificationError).code);
}
