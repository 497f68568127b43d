// A notary over gRPC.

import { create } from '@bufbuild/protobuf';
import {
  type ChannelCredentials,
  type ChannelOptions,
  Metadata,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import { QuartermasterNotary, ReceiptSchema } from '#gen/quartermaster/v1/notary_pb.js';
import { type Client, createClient, type RpcOptions } from '../rpc/client.ts';
import type { Receipt } from '../verify/index.ts';
import type { AnchorAnswer, AnchorCall, CallLimits, NotaryLink } from './notary-link.ts';

export interface GrpcLinkOptions {
  /** `host:port`, which follows DNS as `dns:///host:port` does, or any other target of grpc-js, such as `unix:/path` */
  readonly endpoint: string;
  /** Default: plain text. */
  readonly credentials?: ChannelCredentials | undefined;
}

type NotaryClient = Client<typeof QuartermasterNotary.method>;

/** What clients of gRPC accept everywhere, and what notaries keep their answers below. */
const MAX_ANSWER_BYTES = 4 * 1024 * 1024;
/** A day. Timers of Node.js hold 31 bits: with a deadline of 24.8 days grpc-js ends the call early, here or in the server. */
const MAX_TIMEOUT_MS = 86_400_000;

/** How a client keeps its connection to a notary. */
export const NOTARY_CHANNEL_OPTIONS: ChannelOptions = {
  // A peer that is gone without a word is noticed in 40 seconds, before the next call needs it, and what forgets idle
  // connections on the way does not. Notaries allow it; a proxy that does not says so, and grpc-js then pings less often.
  'grpc.keepalive_time_ms': 30_000,
  'grpc.keepalive_timeout_ms': 10_000,
  'grpc.keepalive_permit_without_calls': 1,
  // The gateway decides when the next try is, with a backoff of its own: grpc-js must not have a longer one behind its back.
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1_000,
  // Each try is one of ours: counted, paced, and under a deadline.
  'grpc.enable_retries': 0,
  // One replica at a time, another one for each gateway: calls of one gateway that race one another over several replicas
  // would all wait for the head of the log.
  'grpc.service_config': JSON.stringify({
    loadBalancingConfig: [{ pick_first: { shuffleAddressList: true } }],
  }),
  'grpc.service_config_disable_resolution': 1,
  // Otherwise a new channel is given the connections of the dropped one.
  'grpc.use_local_subchannel_pool': 1,
  'grpc.max_receive_message_length': MAX_ANSWER_BYTES,
  'grpc.max_send_message_length': -1,
  'grpc.enable_channelz': 0,
};

/**
 * Calls a notary over gRPC. Nothing is looked up and nothing connects before the first call; whoever is told that the notary
 * is away calls `drop`, so that the next call looks the name up again.
 *
 * @example
 * ```ts
 * const link = new GrpcLink({ endpoint: 'notary.example.org:50051' });
 * const path = await link.getConsistencyPath(
 *   { clusterId, firstSize: 10, secondSize: 20 },
 *   { timeoutMs: 5_000, signal: new AbortController().signal },
 * );
 * link.close();
 * ```
 */
export class GrpcLink implements NotaryLink {
  readonly #options: GrpcLinkOptions;
  /** One for each call in flight, whichever channel it is on. */
  readonly #callsInFlight = new Set<AbortController>();
  #client: NotaryClient | undefined;
  #isClosed = false;

  constructor(options: GrpcLinkOptions) {
    this.#options = options;
  }

  async createAnchor(call: AnchorCall, limits: CallLimits): Promise<AnchorAnswer> {
    // The leaves go as they are, and are copied when the message is written, and when grpc-js puts its five bytes in front.
    const { logIndex, ...answer } = await this.#call(limits, (notary, options) =>
      notary.createAnchor(call, options),
    );
    return { ...answer, logIndex: sizeOf(logIndex) };
  }

  async getReceipt(
    leaf: { readonly clusterId: string; readonly anchorId: string; readonly leafIndex: number },
    limits: CallLimits,
  ): Promise<Receipt> {
    const { receipt } = await this.#call(limits, (notary, options) =>
      notary.getInclusionProof({ ...leaf, treeSize: 0n }, options),
    );
    // An answer without one is an answer with an empty one, which no check passes.
    const { logIndex, ...rest } = receipt ?? create(ReceiptSchema);
    return { ...rest, logIndex: sizeOf(logIndex) };
  }

  async getConsistencyPath(
    sizes: { readonly clusterId: string; readonly firstSize: number; readonly secondSize: number },
    limits: CallLimits,
  ): Promise<readonly Uint8Array[]> {
    const { clusterId, firstSize, secondSize } = sizes;
    const request = { clusterId, firstSize: BigInt(firstSize), secondSize: BigInt(secondSize) };
    const { consistencyPath } = await this.#call(limits, (notary, options) =>
      notary.getConsistencyProof(request, options),
    );
    return consistencyPath;
  }

  drop(): void {
    // Calls in flight keep their stream, and end with an answer or at their deadline.
    this.#client?.close();
    this.#client = undefined;
  }

  close(): void {
    this.#isClosed = true;
    for (const call of this.#callsInFlight) call.abort();
    this.drop();
  }

  async #call<T>(
    { timeoutMs, signal }: CallLimits,
    send: (notary: NotaryClient, options: RpcOptions) => Promise<T>,
  ): Promise<T> {
    if (this.#isClosed || signal.aborted) throw cancelled();
    const call = new AbortController();
    const cancel = () => call.abort();
    signal.addEventListener('abort', cancel, { once: true });
    this.#callsInFlight.add(call);
    try {
      this.#client ??= this.#connect();
      const options = { signal: call.signal, timeoutMs: Math.min(timeoutMs, MAX_TIMEOUT_MS) };
      return await send(this.#client, options);
    } finally {
      signal.removeEventListener('abort', cancel);
      this.#callsInFlight.delete(call);
    }
  }

  #connect(): NotaryClient {
    const { endpoint, credentials } = this.#options;
    return createClient(QuartermasterNotary, endpoint, credentials, NOTARY_CHANNEL_OPTIONS);
  }
}

/** An int64 as a number. Above 2^53-1 it stays above, whatever it is rounded to, so that whoever checks the answer refuses it. */
function sizeOf(int64: bigint): number {
  return Number(int64);
}

/** As grpc-js would say it, without a connection. */
function cancelled(): ServiceError {
  const details = 'the call was cancelled before it was sent';
  const error = new Error(`${status.CANCELLED} CANCELLED: ${details}`);
  return Object.assign(error, { code: status.CANCELLED, details, metadata: new Metadata() });
}
