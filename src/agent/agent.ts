import { lstatSync, unlinkSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import {
  ChannelCredentials,
  Client,
  Server,
  type UntypedHandleCall,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import type { Logger } from 'pino';
import { QuartermasterNotary } from '#gen/quartermaster/v1/notary_pb.js';
import { GrpcLink, NOTARY_CHANNEL_OPTIONS } from '../gateway/grpc-link.ts';
import { asBuffer, type MethodCodec, methodPath, serviceDefinition } from '../rpc/service-definition.ts';
import { accessLog } from '../server/access-log.ts';
import { admission } from '../server/admission.ts';
import { bindServer, closeServer } from '../server/bound-server.ts';
import { CallContext } from '../server/call-context.ts';
import { interceptorOf } from '../server/call-layer.ts';
import { foreignServiceHost } from '../server/foreign-service.ts';
import { Health } from '../server/health.ts';
import { resolveLimits } from '../server/limits.ts';
import { MemoryBudget } from '../server/memory-budget.ts';
import { methodTraits } from '../server/method-traits.ts';
import { OpenCalls } from '../server/open-calls.ts';
import { ReadGate } from '../server/read-gate.ts';
import { smallMessage } from '../server/small-message.ts';
import { UnreadAnswers } from '../server/unread-answers.ts';
import { AnchorExchange } from './anchor-exchange.ts';
import { AnchorRelay } from './anchor-relay.ts';
import { createAnchor, HeldMessage } from './create-anchor.ts';
import { AgentError } from './error.ts';
import { forwardStream, forwardUnary } from './forward.ts';
import { NotaryChannel } from './notary-channel.ts';
import { Spool } from './spool.ts';
import { Witness } from './witness.ts';

export interface AgentOptions {
  /** `host:port`, or any target of gRPC */
  readonly endpoint: string;
  /** Default: plain text. */
  readonly credentials?: ChannelCredentials | undefined;
  readonly spool: {
    readonly directory: string;
    readonly maxBytes: number;
    /** how long a call that is anchored is remembered, so that a retry finds it; in milliseconds */
    readonly retentionMs: number;
  };
  /** Pinned verifier keys; none: the notary is believed. */
  readonly keys: readonly string[];
  readonly limits: {
    readonly maxMessageBytes: number;
    readonly memoryBudgetBytes: number;
    /** CreateAnchor calls that wait */
    readonly maxCalls: number;
  };
  /** how long one try of a call may take, before the call goes to the spool */
  readonly tryTimeoutMs: number;
  readonly logger: Logger;
}

export interface Agent {
  /** @returns the address with the port that it has. @throws {AgentError} CANNOT_LISTEN */
  listen(address: string): Promise<string>;
  /** Takes no more calls, finishes what it can within the time, tells the others that theirs are kept. */
  stop(graceMs: number): Promise<void>;
}

/** Answers may be as big as the notary makes them; the agent is no client that has to be protected from its own notary's. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;
const MAX_STREAMS = 4_096;
const LOOK_AT_HEALTH_EVERY_MS = 500;

/**
 * The gateway client as a process of its own, for gateways in any language: QuartermasterNotary on a socket of this machine.
 *
 * @throws {AgentError} SPOOL_FAILED
 * @throws {VerificationError} for a checkpoint in the spool that the pinned keys do not verify
 */
export async function startAgent(options: AgentOptions): Promise<Agent> {
  const { logger, endpoint } = options;
  const credentials = options.credentials ?? ChannelCredentials.createInsecure();
  const channel = new NotaryChannel(
    () =>
      new Client(endpoint, credentials, {
        ...NOTARY_CHANNEL_OPTIONS,
        'grpc.max_receive_message_length': MAX_ANSWER_BYTES,
      }),
  );
  const link = new GrpcLink({ endpoint, credentials });
  const { directory } = options.spool;
  const now = () => Date.now();
  const witness =
    options.keys.length === 0
      ? undefined
      : new Witness({ keys: options.keys, link, directory, now, log: logger });
  const relay = new AnchorRelay({
    spool: new Spool({ ...options.spool, now, log: logger }),
    exchange: new AnchorExchange(channel, witness),
    log: logger,
    tryTimeoutMs: options.tryTimeoutMs,
    onFailure: () => link.drop(),
  });
  await witness?.open();
  await relay.start();

  const openCalls = new OpenCalls();
  const health = new Health([QuartermasterNotary.typeName]);
  const server = createServer(options, openCalls);
  const implementation: UntypedServiceImplementation = {};
  for (const method of QuartermasterNotary.methods) {
    const path = methodPath(method);
    const forward = method.methodKind === 'unary' ? forwardUnary : forwardStream;
    implementation[method.localName] = forward(channel, path) as UntypedHandleCall;
  }
  implementation.createAnchor = createAnchor(relay, options.limits.maxCalls);
  server.addService(serviceDefinition(QuartermasterNotary, CODECS), implementation);
  health.addTo(foreignServiceHost(server));
  const watch = setInterval(() => health.setServing(relay.canTakeCalls), LOOK_AT_HEALTH_EVERY_MS);

  const addresses: string[] = [];
  return {
    async listen(address) {
      await removeStaleSocket(address);
      try {
        const bound = await bindServer(server, address, undefined);
        addresses.push(bound.address);
        return bound.address;
      } catch (cause) {
        throw new AgentError('CANNOT_LISTEN', (cause as Error).message, { cause });
      }
    },
    async stop(graceMs) {
      const endsAt = performance.now() + graceMs;
      clearInterval(watch);
      health.drain();
      openCalls.refuseNew();
      openCalls.endStreams();
      await relay.stop(graceMs);
      openCalls.endStreams();
      await closeServer(server, addresses, endsAt - performance.now());
      channel.close();
      link.close();
      await witness?.close();
    },
  };
}

function createServer({ limits: given, logger }: AgentOptions, openCalls: OpenCalls): Server {
  const { maxMessageBytes, memoryBudgetBytes } = given;
  const limits = resolveLimits({ maxMessageBytes, memoryBudgetBytes });
  const budget = new MemoryBudget(memoryBudgetBytes);
  const unread = new UnreadAnswers(budget, limits);
  const memory = {
    capacityBytes: budget.capacityBytes,
    freeBytes: () => budget.freeForBigBytes,
    evictOverdue: () => unread.evictOverdue(),
  };
  const traitsOf = methodTraits(maxMessageBytes);
  const layers = [
    accessLog(logger),
    openCalls.layer,
    admission(new ReadGate({ ...limits, memory }), budget, unread),
  ];
  return new Server({
    interceptors: [interceptorOf((method, call) => new CallContext(traitsOf(method), call), layers)],
    'grpc.max_receive_message_length': maxMessageBytes,
    'grpc.max_concurrent_streams': MAX_STREAMS,
    'grpc.enable_channelz': 0,
  });
}

/** Bytes in, bytes out. */
const CODECS: Readonly<Record<string, MethodCodec>> = Object.fromEntries(
  QuartermasterNotary.methods.map((method) => [
    method.localName,
    {
      decode:
        method.localName === 'createAnchor'
          ? (bytes: Uint8Array) => new HeldMessage(bytes)
          : smallMessage((bytes: Uint8Array) => asBuffer(bytes)),
      encode: (message: Buffer) => message,
    },
  ]),
);

/** A process that was killed leaves its socket behind; one that answers is somebody else's. */
async function removeStaleSocket(address: string): Promise<void> {
  if (!address.startsWith('unix:')) return;
  const path = address.slice('unix:'.length);
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() !== true) return;
  let socket: Socket | undefined;
  const isAnswered = await new Promise<boolean>((resolve) => {
    socket = connect(path, () => resolve(true));
    // One that is there and has no time is somebody's, too.
    socket.setTimeout(1_000, () => resolve(true));
    socket.once('error', () => resolve(false));
  });
  socket?.destroy();
  if (!isAnswered) unlinkSync(path);
}
