import { createHash, randomUUID } from 'node:crypto';
import type { CreateAnchorResponse, Receipt as ReceiptMessage } from '#gen/quartermaster/v1/notary_pb.js';
import { fastHasher } from '../../src/merkle/fast.ts';
import { verifyEd25519Natively } from '../../src/native/ed25519.ts';
import { type FsckReport, fsck } from '../../src/notary/fsck.ts';
import { createSeedSigning } from '../../src/notary/seed-signing.ts';
import type { Storage } from '../../src/notary/storage.ts';
import { formatVkey } from '../../src/note/index.ts';
import {
  type Policy,
  type Receipt,
  type Verdict,
  type VerifiedAnchor,
  type VerifiedCheckpoint,
  type VerifyOptions,
  verifyAnchorResponse,
  verifyCheckpoint,
  verifyReceipt,
} from '../../src/verify/index.ts';
import { type Clients, ORIGIN_PREFIX } from './notary-under-test.ts';

/** The same answers as the portable code, in a tenth of the time. */
const FAST: VerifyOptions = { hasher: fastHasher, verifyEd25519: verifyEd25519Natively };

export interface Anchored {
  readonly response: CreateAnchorResponse;
  readonly verified: VerifiedAnchor;
  readonly packedLeaves: Uint8Array;
}

export interface AnchorOptions {
  readonly requestId?: string;
  readonly known?: VerifiedCheckpoint;
  readonly etcdRevision?: bigint;
}

/** A client of one cluster that believes nothing: it pins the key that it knows from elsewhere and checks every answer. */
export class CarefulCaller {
  readonly clusterId: string;
  readonly policy: Policy;

  constructor(clusterId: string, policy: Policy) {
    this.clusterId = clusterId;
    this.policy = policy;
  }

  /** Makes a cluster and pins the key that its seed gives, not the one that the server tells. */
  static async ofNewCluster({ registry }: Clients, seed: Uint8Array): Promise<CarefulCaller> {
    const clusterId = randomUUID();
    await registry.createCluster({ clusterId, displayName: 'integration' });
    return new CarefulCaller(clusterId, { logKeys: [await vkeyOf(seed, clusterId)] });
  }

  /** Anchors and verifies the answer. */
  async anchor(clients: Clients, packedLeaves: Uint8Array, options: AnchorOptions = {}): Promise<Anchored> {
    const { known, ...fields } = options;
    const response = await clients.notary.createAnchor({
      clusterId: this.clusterId,
      packedLeaves,
      ...fields,
      ...(known === undefined ? {} : { knownCheckpoint: known.checkpoint }),
    });
    return { response, verified: this.verifyAnchor(response, packedLeaves, options), packedLeaves };
  }

  verifyAnchor(response: CreateAnchorResponse, packedLeaves: Uint8Array, options: AnchorOptions = {}) {
    return verifyAnchorResponse(
      { ...response, logIndex: Number(response.logIndex) },
      { clusterId: this.clusterId, packedLeaves, ...options },
      this.policy,
      FAST,
    );
  }

  /** Asks for a receipt of a leaf and verifies it offline. */
  async prove(clients: Clients, { verified, packedLeaves }: Anchored, leafIndex: number, treeSize = 0n) {
    const { anchorId } = verified;
    const { receipt } = await clients.notary.getInclusionProof({ anchorId, leafIndex, treeSize });
    return this.verify(receiptOf(receipt), packedLeaves, anchorId, leafIndex);
  }

  verify(receipt: Receipt, packedLeaves: Uint8Array, anchorId: string, leafIndex: number): Verdict {
    const leaf = packedLeaves.subarray(leafIndex * 32, leafIndex * 32 + 32);
    return verifyReceipt(receipt, { leaf, anchorId, leafIndex }, this.policy, FAST);
  }

  async checkpoint({ notary }: Clients, treeSize = 0n): Promise<VerifiedCheckpoint> {
    const { checkpoint } = await notary.getCheckpoint({ clusterId: this.clusterId, treeSize });
    return verifyCheckpoint(checkpoint, this.policy, FAST);
  }

  fsck(storage: Storage, seed: Uint8Array): Promise<FsckReport> {
    const { clusterId } = this;
    return fsck({ storage, signing: createSeedSigning(seed), hasher: fastHasher, clusterId });
  }
}

export async function vkeyOf(seed: Uint8Array, clusterId: string): Promise<string> {
  const { key } = await createSeedSigning(seed).logKey(`${ORIGIN_PREFIX}/${clusterId}`, 1);
  return formatVkey(key);
}

export function receiptOf(message: ReceiptMessage | undefined): Receipt {
  if (message === undefined) throw new Error('the answer has no receipt');
  return { ...message, logIndex: Number(message.logIndex) };
}

/** `count` leaves that nobody else makes from another name. */
export function leavesNamed(name: string, count = 1): Uint8Array {
  const digests = Array.from({ length: count }, (_, i) =>
    createHash('sha256').update(`${name}/${i}`).digest(),
  );
  return new Uint8Array(Buffer.concat(digests));
}
