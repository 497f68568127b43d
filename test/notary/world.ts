import { expect } from '@jest/globals';
import { fastHasher } from '../../src/merkle/fast.ts';
import { verifyEd25519Natively } from '../../src/native/ed25519.ts';
import { createNotary, type NotaryOptions } from '../../src/notary/create-notary.ts';
import { type FsckReport, fsck } from '../../src/notary/fsck.ts';
import { createSeedSigning } from '../../src/notary/seed-signing.ts';
import type { AnchorAnswer, Notary, Registry, Submission } from '../../src/notary/service.ts';
import type { Signing } from '../../src/notary/signing.ts';
import type { AppendGroup, AppendOutcome, Cluster, Head } from '../../src/notary/storage.ts';
import { assembleCheckpoint, formatCheckpointText, parseCheckpointText } from '../../src/note/index.ts';
import {
  type VerifiedAnchor,
  type VerifiedCheckpoint,
  verifyAnchorResponse,
  verifyCheckpoint,
  verifyCheckpointConsistency,
} from '../../src/verify/index.ts';
import { MemoryDatabase } from './memory-database.ts';
import { MemoryStorage } from './memory-storage.ts';

export const NATIVELY = { hasher: fastHasher, verifyEd25519: verifyEd25519Natively };
export const SEED = new Uint8Array(32).fill(7);
const PREFIX = 'notary.example/logs';

export interface Replica {
  readonly notary: Notary;
  readonly registry: Registry;
  readonly storage: MemoryStorage;
}

export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly fields: Record<string, unknown>;
  readonly message: string;
}

type ReplicaOptions = Partial<
  Pick<NotaryOptions, 'maxQueuedAnchors' | 'outcomePatienceMs' | 'now' | 'signing'>
> & { readonly travel?: () => Promise<void> };

/** A database, notaries on it, and a record of everything that any of them signed. */
export class World {
  readonly database = new MemoryDatabase();
  readonly signedTexts: string[] = [];
  /** What was signed and may not have been (invariants 2 and 3). Seen filled when an append was signed before it was sent. */
  readonly offences: string[] = [];
  readonly logLines: LogLine[] = [];
  /** The clock of all replicas that bring none of their own. */
  nowMs = Date.UTC(2030, 0, 1);
  readonly #signedRoots = new Map<string, string>();
  #leaves = 0;

  /** A process: own memory, own connection, the shared database. */
  replica(options: ReplicaOptions = {}): Replica {
    const storage = new MemoryStorage(this.database, options.travel);
    const log = (level: LogLine['level']) => (fields: object, message: string) => {
      this.logLines.push({ level, fields: { ...fields }, message });
    };
    const { notary, registry } = createNotary({
      now: () => this.nowMs,
      // So long that only tests which ask for less run into it, also on a busy machine.
      outcomePatienceMs: 20_000,
      ...options,
      storage,
      signing: this.watched(options.signing ?? createSeedSigning(SEED)),
      hasher: fastHasher,
      logger: { debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') },
      originPrefix: PREFIX,
    });
    return { notary, registry, storage };
  }

  /** Looks at every text at the moment when it is signed. */
  watched(signing: Signing): Signing {
    return {
      seedId: signing.seedId,
      headMac: (origin, epoch) => signing.headMac(origin, epoch),
      logKey: async (origin, epoch) => {
        const signer = await signing.logKey(origin, epoch);
        return {
          key: signer.key,
          sign: (noteText) => {
            this.#judge(noteText);
            return signer.sign(noteText);
          },
        };
      },
    };
  }

  #judge(text: string): void {
    this.signedTexts.push(text);
    const { origin, size, root } = parseCheckpointText(text);
    const clusterId = origin.slice(PREFIX.length + 1);
    if (!this.database.isDurable(clusterId, size, root)) {
      this.offences.push(`signed size ${size} of ${clusterId}, which is not committed and durable`);
    }
    const key = `${origin}/${size}`;
    const earlier = this.#signedRoots.get(key);
    if (earlier !== undefined && earlier !== text) this.offences.push(`signed two roots for ${key}`);
    this.#signedRoots.set(key, text);
  }

  async cluster(replica: Replica, request: Partial<Parameters<Registry['createCluster']>[0]> = {}) {
    return replica.registry.createCluster({
      clusterId: undefined,
      displayName: 'a cluster',
      requestId: undefined,
      predecessorId: undefined,
      ...request,
    });
  }

  /** Leaves that nobody had before. */
  leaves(count: number): Uint8Array {
    const packed = new Uint8Array(count * 32);
    const view = new DataView(packed.buffer);
    for (let i = 0; i < count; i++) view.setUint32(i * 32, ++this.#leaves);
    return packed;
  }

  submission(clusterId: string, more: Partial<Submission> = {}): Submission {
    return {
      clusterId,
      packedLeaves: more.packedLeaves ?? this.leaves(1),
      etcdRevision: 0n,
      requestId: undefined,
      knownCheckpoint: '',
      submitter: undefined,
      signal: new AbortController().signal,
      ...more,
    };
  }

  /** Anchors and verifies the answer as a gateway does that believes nothing. */
  async anchor(
    { notary }: Replica,
    clusterId: string,
    more: Partial<Submission> = {},
  ): Promise<AnchorAnswer & { readonly verified: VerifiedAnchor }> {
    const submission = this.submission(clusterId, more);
    const answer = await notary.createAnchor(submission);
    return { ...answer, verified: this.verify(answer, submission) };
  }

  /** src/verify is the judge of every answer. The cluster is the record's: a sealed one is succeeded. */
  verify(answer: AnchorAnswer, submission: Submission, clusterId = submission.clusterId): VerifiedAnchor {
    const { requestId, etcdRevision, packedLeaves, knownCheckpoint } = submission;
    const known = knownCheckpoint === '' ? undefined : this.checkpoint(knownCheckpoint);
    const sameLog = known?.origin === this.database.log(clusterId).cluster.origin;
    return verifyAnchorResponse(
      { ...answer, leafIndices: [] },
      {
        clusterId,
        packedLeaves,
        etcdRevision,
        ...(requestId === undefined ? {} : { requestId }),
        ...(known === undefined || !sameLog ? {} : { known }),
      },
      this.policy,
      NATIVELY,
    );
  }

  /** Pins the keys of all clusters. */
  get policy() {
    return { logKeys: [...this.database.logs.values()].flatMap(({ keys }) => keys.map(({ vkey }) => vkey)) };
  }

  checkpoint(note: string): VerifiedCheckpoint {
    return verifyCheckpoint(note, this.policy, NATIVELY);
  }

  /** A checkpoint with a good signature of this cluster's key over whatever the test says. */
  async forgeSigned(cluster: Cluster, size: number, root: Uint8Array): Promise<string> {
    const signer = await createSeedSigning(SEED).logKey(cluster.origin, 1);
    const text = formatCheckpointText({ origin: cluster.origin, size, root });
    return assembleCheckpoint(text, [await signer.sign(text)]);
  }

  fsck(clusterId?: string): Promise<FsckReport> {
    return fsck({
      storage: new MemoryStorage(this.database),
      signing: createSeedSigning(SEED),
      hasher: fastHasher,
      clusterId,
    });
  }

  /** An append as this replica would send it now; nothing is written. */
  async nextAppend({ storage, notary }: Replica, clusterId: string): Promise<AppendGroup> {
    storage.once(
      'append',
      async (): Promise<AppendOutcome> => ({ kind: 'unavailable', cause: new Error('held back') }),
    );
    await codeOf(notary.createAnchor(this.submission(clusterId)));
    return storage.appends.at(-1)!;
  }

  heads(clusterId: string): Head[] {
    return this.database.headsOf(clusterId);
  }

  /** Deletes the newest heads and, if `rows`, all that belongs to them: what a failover or a restore does. */
  takeBack(clusterId: string, size: number, rows: boolean): void {
    const log = this.database.log(clusterId);
    for (const head of [...log.heads.keys()]) if (head > size) log.heads.delete(head);
    if (!rows) return;
    for (const [logIndex, { anchorId }] of [...log.entries]) {
      if (logIndex < size) continue;
      log.entries.delete(logIndex);
      if (anchorId !== undefined) log.batches.delete(anchorId);
    }
    for (const [key, { level, index }] of [...log.nodes]) {
      if ((index + 1) * 256 ** level > size) log.nodes.delete(key);
    }
  }

  /** Every pair of checkpoints that was ever handed out is consistent. */
  async expectConsistent({ notary }: Replica, clusterId: string, notes: readonly string[]): Promise<void> {
    const checkpoints = [...new Set(notes)]
      .map((note) => this.checkpoint(note))
      .sort((a, b) => a.size - b.size);
    for (const [i, older] of checkpoints.entries()) {
      for (const newer of checkpoints.slice(i)) {
        const path = await notary.getConsistencyPath(clusterId, older.size, newer.size);
        verifyCheckpointConsistency(older, newer, path, NATIVELY);
      }
    }
  }

  /** The invariants that hold at the end of every story in which nobody tampered. */
  async expectSound(): Promise<void> {
    expect(this.offences).toEqual([]);
    expect(await this.fsck()).toMatchObject({ clusters: this.database.logs.size, finding: undefined });
  }
}

/** Hops of random length through the event loop, so that replicas interleave; the same seed, the same hops. */
export function wandering(seed: number): () => Promise<void> {
  let state = seed >>> 0;
  return async () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    for (let hops = (state >>> 16) % 4; hops > 0; hops--) await new Promise(setImmediate);
  };
}

/** Resolves once the condition holds. */
export async function until(condition: () => boolean): Promise<void> {
  for (let turn = 0; !condition(); turn++) {
    if (turn > 20_000) throw new Error('the awaited condition did not come');
    await new Promise((resolve) => setTimeout(resolve, turn < 100 ? 0 : 1));
  }
}

/** The code of the NotaryError that a call ends with. */
export async function codeOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
  return 'no error';
}
