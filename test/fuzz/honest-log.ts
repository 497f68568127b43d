// What is true. Two logs with real keys, real trees and real signatures; whatever a verifier accepts is looked up here, and
// must be exactly what one of them once said.

import { createHash, createPrivateKey, createPublicKey, sign } from 'node:crypto';
import {
  ed25519Vkey,
  formatCheckpointText,
  formatNote,
  formatTlogProof,
  formatVkey,
  type VerifierKey,
} from '../../src/note/index.ts';
import { formatAnchorRecord } from '../../src/record/index.ts';
import { naiveConsistencyPath, naiveInclusionPath, naiveRoot } from '../verify/naive-tree.ts';

const PKCS8_ED25519 = Buffer.from('302e020100300506032b657004220420', 'hex');

class Signer {
  readonly key: VerifierKey;
  readonly #privateKey;

  constructor(name: string, seedByte: number) {
    const der = Buffer.concat([PKCS8_ED25519, Buffer.alloc(32, seedByte)]);
    this.#privateKey = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
    const spki = createPublicKey(this.#privateKey).export({ format: 'der', type: 'spki' });
    this.key = ed25519Vkey(name, new Uint8Array(spki.subarray(-32)));
  }

  line(text: string) {
    const signature = new Uint8Array(sign(null, Buffer.from(text), this.#privateKey));
    made.add(signatureKey(text, this.key.name, this.key.keyId, signature));
    return { name: this.key.name, keyId: this.key.keyId, signature };
  }
}

/** Every signature that was ever made. Ed25519 is deterministic: another valid one for the same text is a forgery too. */
const made = new Set<string>();

const signatureKey = (text: string, name: string, keyId: Uint8Array, signature: Uint8Array): string =>
  `${Buffer.from(keyId).toString('hex')} ${Buffer.from(signature).toString('hex')} ${name} ${text}`;

export function wasMade(text: string, name: string, keyId: Uint8Array, signature: Uint8Array): boolean {
  return made.has(signatureKey(text, name, keyId, signature));
}

export interface Batch {
  readonly anchorId: string;
  readonly leaves: readonly Uint8Array[];
  readonly record: Uint8Array;
  readonly requestId: string | undefined;
}

export class HonestLog {
  readonly clusterId: string;
  readonly origin: string;
  readonly batches: readonly Batch[];
  readonly #signers: readonly Signer[];
  readonly #witness: Signer;
  readonly #roots = new Map<number, Uint8Array>();

  /** @param foreign entries of another cluster, which no honest log has */
  constructor(
    clusterId: string,
    seedByte: number,
    leafCounts: readonly number[],
    foreign: readonly Batch[] = [],
  ) {
    this.clusterId = clusterId;
    this.origin = `notary.example/logs/${clusterId}`;
    this.#signers = [new Signer(this.origin, seedByte), new Signer(this.origin, seedByte + 1)];
    this.#witness = new Signer('witness.example', seedByte + 2);
    this.batches = [...leafCounts.map((count, number) => this.#batch(count, number)), ...foreign];
  }

  #batch(count: number, number: number): Batch {
    const leaves = Array.from({ length: count }, (_, i) =>
      Uint8Array.from(createHash('sha256').update(`${this.clusterId} ${number} ${i}`).digest()),
    );
    const anchorId = `0195c3a0-1c00-7000-8000-${number.toString(16).padStart(12, '0')}`;
    const requestId =
      number % 2 === 0 ? undefined : `c0ffee00-0000-4000-8000-${number.toString().padStart(12, '0')}`;
    const record = formatAnchorRecord({
      anchorId,
      clusterId: this.clusterId,
      leafCount: count,
      root: naiveRoot(leaves),
      etcdRevision: BigInt(number),
      createdAtMs: 1_700_000_000_000 + number,
      ...(requestId === undefined ? {} : { requestId }),
      ...(number % 3 === 0 ? { submitter: 'gateway "é"' } : {}),
    });
    return { anchorId, leaves, record, requestId };
  }

  get size(): number {
    return this.batches.length;
  }

  get entries(): readonly Uint8Array[] {
    return this.batches.map(({ record }) => record);
  }

  /** The first key, and the one that it is rotated to. */
  get vkeys(): readonly string[] {
    return this.#signers.map(({ key }) => formatVkey(key));
  }

  root(size: number): Uint8Array {
    const known = this.#roots.get(size);
    if (known !== undefined) return known;
    const root = naiveRoot(this.entries.slice(0, size));
    this.#roots.set(size, root);
    return root;
  }

  /** @param style 0: one key, 1: a witness too, 2: both keys */
  checkpoint(size: number, style = size % 3): string {
    const text = formatCheckpointText({ origin: this.origin, size, root: this.root(size) });
    const [first, second] = this.#signers.map((signer) => signer.line(text));
    const lines = [...(first ? [first] : []), ...(style === 1 ? [this.#witness.line(text)] : [])];
    return formatNote({ text, signatures: style === 2 && second ? [...lines, second] : lines });
  }

  /** Its first key's signature on somebody else's text. */
  witnessing(text: string) {
    return this.#signers[0]!.line(text);
  }

  recordPath(logIndex: number, size: number): Uint8Array[] {
    return naiveInclusionPath(logIndex, this.entries.slice(0, size));
  }

  consistencyPath(first: number, second: number): Uint8Array[] {
    return naiveConsistencyPath(first, this.entries.slice(0, second));
  }

  proof(logIndex: number, leafIndex: number, size: number): string {
    const batch = this.batches[logIndex]!;
    return formatTlogProof({
      leafIndex,
      leafPath: naiveInclusionPath(leafIndex, batch.leaves),
      record: batch.record,
      logIndex,
      recordPath: this.recordPath(logIndex, size),
      checkpoint: this.checkpoint(size),
    });
  }

  /** Whether this log ever had this root at this size. */
  had(size: number, root: Uint8Array): boolean {
    return size <= this.size && Buffer.compare(this.root(size), root) === 0;
  }
}

const FIRST = new HonestLog('7b4c2f0e-93d1-4a55-8c1e-2f6a9d3b5e70', 1, [1, 2, 3, 5, 8, 13, 4]);

/** The second one shows anchors of the first as if they were in its own log: signed, but no tenant's. */
export const LOGS: readonly HonestLog[] = [
  FIRST,
  new HonestLog('6f9619ff-8b86-4011-b42d-00c04fc964ff', 11, [2, 1, 7], FIRST.batches.slice(2, 4)),
];

export const VKEYS: readonly string[] = LOGS.flatMap(({ vkeys }) => vkeys);

/** Every checkpoint of every log. */
export const CHECKPOINTS: readonly string[] = LOGS.flatMap((log) =>
  Array.from({ length: log.size + 1 }, (_, size) => log.checkpoint(size)),
);

/** Heads of the first log that only the second one's key has signed, under its own name. */
export const MISNAMED: readonly string[] = [1, 2, 7].map((size) => {
  const text = formatCheckpointText({ origin: FIRST.origin, size, root: new Uint8Array(32).fill(size) });
  return formatNote({ text, signatures: [LOGS[1]!.witnessing(text)] });
});

export function logNamed(origin: string): HonestLog | undefined {
  return LOGS.find((log) => log.origin === origin);
}
