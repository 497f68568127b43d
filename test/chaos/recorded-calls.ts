import { type ServiceError, status } from '@grpc/grpc-js';
import { QuartermasterNotary } from '#gen/quartermaster/v1/notary_pb.js';
import { fastHasher } from '../../src/merkle/fast.ts';
import { hashBatch } from '../../src/merkle/index.ts';
import { createClient } from '../../src/rpc/client.ts';
import { statusDetails } from '../../src/rpc/status-details.ts';
import type { VerifiedCheckpoint } from '../../src/verify/index.ts';
import { type CarefulCaller, receiptOf } from '../integration/careful-caller.ts';
import type { NotaryClient } from '../integration/notary-under-test.ts';
import type { CallLog } from './call-log.ts';

export interface Submission {
  readonly caller: CarefulCaller;
  readonly requestId: string | undefined;
  readonly packedLeaves: Uint8Array;
}

/** A submission that was answered. */
export interface AnsweredSubmission extends Submission {
  readonly anchorId: string;
}

export interface CallOptions {
  readonly signal: AbortSignal;
  readonly timeoutMs: number | undefined;
}

/** One client's calls to every server, each written down before it is made and when it has ended. */
export class RecordedCalls {
  readonly #client: string;
  readonly #addresses: readonly string[];
  readonly #channels: NotaryClient[];
  readonly #log: CallLog;
  /** By cluster, the newest that was verified. */
  readonly #known = new Map<string, VerifiedCheckpoint>();
  #calls = 0;

  constructor(client: string, addresses: readonly string[], log: CallLog) {
    this.#client = client;
    this.#addresses = addresses;
    this.#channels = addresses.map(connect);
    this.#log = log;
  }

  get servers(): readonly number[] {
    return this.#addresses.map((_, server) => server);
  }

  /** @returns undefined where the call failed */
  async anchor(
    server: number,
    submission: Submission,
    { carriesCheckpoint, ...options }: CallOptions & { readonly carriesCheckpoint: boolean },
  ): Promise<AnsweredSubmission | undefined> {
    const { caller, requestId, packedLeaves } = submission;
    const { clusterId } = caller;
    const known = carriesCheckpoint ? this.#known.get(clusterId) : undefined;
    const call = this.#nextName();
    this.#log.write({
      type: 'sent',
      at: Date.now(),
      call,
      client: this.#client,
      server,
      clusterId,
      requestId: requestId ?? null,
      root: Buffer.from(hashBatch(fastHasher, packedLeaves).root).toString('hex'),
      leafCount: packedLeaves.length / 32,
      knownCheckpoint: known?.checkpoint ?? null,
    });
    const withRequestId = requestId === undefined ? {} : { requestId };
    const withCheckpoint = known === undefined ? {} : { knownCheckpoint: known.checkpoint };
    try {
      const request = { clusterId, packedLeaves, ...withRequestId, ...withCheckpoint };
      const response = await this.#channels[server]!.createAnchor(request, options);
      const refusal = refusalOf(() => {
        const asked = known === undefined ? withRequestId : { ...withRequestId, known };
        this.#keep(clusterId, caller.verifyAnchor(response, packedLeaves, asked).checkpoint);
      });
      const { anchorId, replayed, checkpoint } = response;
      const logIndex = Number(response.logIndex);
      const record = Buffer.from(response.record).toString('base64');
      this.#log.write({
        type: 'answered',
        at: Date.now(),
        call,
        anchorId,
        logIndex,
        replayed,
        record,
        checkpoint,
        refusal,
      });
      return { ...submission, anchorId };
    } catch (error) {
      this.#failed(call, error);
      return undefined;
    }
  }

  /** A receipt from whichever server: what one answered, all can prove. */
  async prove(
    server: number,
    { caller, anchorId, packedLeaves }: AnsweredSubmission,
    leafIndex: number,
    options: CallOptions,
  ): Promise<void> {
    const call = this.#nextName();
    try {
      const { receipt } = await this.#channels[server]!.getInclusionProof({ anchorId, leafIndex }, options);
      const read = receiptOf(receipt);
      const refusal = refusalOf(() => caller.verify(read, packedLeaves, anchorId, leafIndex));
      const { checkpoint } = read;
      this.#log.write({ type: 'proved', at: Date.now(), call, anchorId, checkpoint, refusal });
    } catch (error) {
      this.#failed(call, error);
    }
  }

  connectAnew(server: number): void {
    this.#channels[server]!.close();
    this.#channels[server] = connect(this.#addresses[server]!);
  }

  close(): void {
    for (const channel of this.#channels) channel.close();
  }

  #nextName(): string {
    return `${this.#client}/${this.#calls++}`;
  }

  #keep(clusterId: string, checkpoint: VerifiedCheckpoint): void {
    const newest = this.#known.get(clusterId);
    if (newest === undefined || newest.size < checkpoint.size) this.#known.set(clusterId, checkpoint);
  }

  #failed(call: string, error: unknown): void {
    const { code, details, message } = error as ServiceError;
    this.#log.write({
      type: 'failed',
      at: Date.now(),
      call,
      code: status[code] ?? 'NO_STATUS',
      reason: statusDetails(error)?.reason ?? '',
      message: details ?? message,
    });
  }
}

function connect(address: string): NotaryClient {
  return createClient(QuartermasterNotary, address, undefined, {
    // A connection of its own, and back soon.
    'grpc.use_local_subchannel_pool': 1,
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.min_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 500,
  });
}

/** Why a verifier refuses; null where it does not. */
function refusalOf(verify: () => void): string | null {
  try {
    verify();
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}
