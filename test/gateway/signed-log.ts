import {
  assembleCheckpoint,
  ed25519Vkey,
  formatCheckpointText,
  formatVkey,
  publicKeyEd25519,
  signEd25519,
} from '../../src/note/index.ts';
import { type AnchorRecord, formatAnchorRecord, formatSuccessionRecord } from '../../src/record/index.ts';
import { naiveConsistencyPath, naiveInclusionPath, naiveRoot } from '../verify/naive-tree.ts';

export const ORIGIN_PREFIX = 'notary.example/logs';

/** The vkey of a cluster's log under the seed that is this byte 32 times. */
export function vkeyOf(clusterId: string, seedByte: number): string {
  return formatVkey(ed25519Vkey(`${ORIGIN_PREFIX}/${clusterId}`, publicKeyEd25519(seedOf(seedByte))));
}

/** A log with real trees, slow and obviously right, and real signatures, under keys that a test chooses. */
export class SignedLog {
  readonly clusterId: string;
  readonly entries: readonly Uint8Array[];
  readonly seedBytes: readonly number[];

  constructor(clusterId: string, seedBytes: readonly number[], entries: readonly Uint8Array[] = []) {
    this.clusterId = clusterId;
    this.seedBytes = seedBytes;
    this.entries = entries;
  }

  get origin(): string {
    return `${ORIGIN_PREFIX}/${this.clusterId}`;
  }

  get size(): number {
    return this.entries.length;
  }

  with(entry: Uint8Array): SignedLog {
    return new SignedLog(this.clusterId, this.seedBytes, [...this.entries, entry]);
  }

  /** Its first entries. */
  upTo(size: number): SignedLog {
    return new SignedLog(this.clusterId, this.seedBytes, this.entries.slice(0, size));
  }

  signedBy(...seedBytes: readonly number[]): SignedLog {
    return new SignedLog(this.clusterId, seedBytes, this.entries);
  }

  checkpoint(): string {
    const text = formatCheckpointText({
      origin: this.origin,
      size: this.size,
      root: naiveRoot(this.entries),
    });
    const signatures = this.seedBytes.map((seedByte) => {
      const { name, keyId } = ed25519Vkey(this.origin, publicKeyEd25519(seedOf(seedByte)));
      return { name, keyId, signature: signEd25519(seedOf(seedByte), new TextEncoder().encode(text)) };
    });
    return assembleCheckpoint(text, signatures);
  }

  recordPath(logIndex: number): Uint8Array[] {
    return naiveInclusionPath(logIndex, this.entries);
  }

  consistencyPath(size: number): Uint8Array[] {
    return naiveConsistencyPath(size, this.entries);
  }
}

let records = 0;

/** The record of a batch, with an anchor id that no other one has. */
export function recordOf(
  clusterId: string,
  leaves: readonly Uint8Array[],
  fields: Partial<AnchorRecord> = {},
): Uint8Array {
  records += 1;
  return formatAnchorRecord({
    anchorId: `0195c3a0-1c00-7000-8000-${records.toString(16).padStart(12, '0')}`,
    clusterId,
    leafCount: leaves.length,
    root: naiveRoot(leaves),
    etcdRevision: 0n,
    createdAtMs: 1_700_000_000_000 + records,
    ...fields,
  });
}

/** The log that goes on after another one was sealed. */
export function successorOf(sealed: SignedLog, clusterId: string, seedByte: number): SignedLog {
  const record = formatSuccessionRecord({
    clusterId,
    predecessorId: sealed.clusterId,
    predecessorOrigin: sealed.origin,
    predecessorSize: sealed.size,
    predecessorRoot: naiveRoot(sealed.entries),
    reason: 'a test',
    createdAtMs: 1_700_000_000_000,
  });
  return new SignedLog(clusterId, [seedByte], [record]);
}

function seedOf(seedByte: number): Uint8Array {
  return new Uint8Array(32).fill(seedByte);
}
