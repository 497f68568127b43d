import type { DescService } from '@bufbuild/protobuf';
import { Server, type ServerCredentials } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import { QuartermasterNotary } from '#gen/quartermaster/v1/notary_pb.js';
import { QuartermasterRegistry } from '#gen/quartermaster/v1/registry_pb.js';
import type { Notary, Registry } from '../notary/service.ts';
import type { MethodCodec } from '../rpc/service-definition.ts';
import { decoder, serviceDefinition } from '../rpc/service-definition.ts';
import { accessLog } from './access-log.ts';
import { admission } from './admission.ts';
import type { Authenticate } from './authentication.ts';
import { authentication } from './authentication.ts';
import { bindServer, closeServer } from './bound-server.ts';
import { CallContext } from './call-context.ts';
import type { Layering } from './call-layer.ts';
import { interceptorOf } from './call-layer.ts';
import { decodeCreateAnchor, encodeCreateAnchor } from './create-anchor-codec.ts';
import { foreignServiceHost } from './foreign-service.ts';
import { Health } from './health.ts';
import type { ServerLimits } from './limits.ts';
import { resolveLimits } from './limits.ts';
import { checkListenAddress } from './listen-address.ts';
import { MemoryBudget } from './memory-budget.ts';
import { methodTraits } from './method-traits.ts';
import { notaryService } from './notary-service.ts';
import { OpenCalls } from './open-calls.ts';
import { readDeadline } from './read-deadline.ts';
import { type GateMemory, ReadGate } from './read-gate.ts';
import { addReflection } from './reflection.ts';
import { registryService } from './registry-service.ts';
import { smallMessage } from './small-message.ts';
import { UnreadAnswers } from './unread-answers.ts';

export interface NotaryServerOptions {
  readonly notary: Notary;
  readonly registry: Registry;
  readonly logger: Logger;
  readonly limits?: Partial<ServerLimits>;
  /** Tells callers what services there are. */
  readonly reflection?: boolean;
  /** With these the server speaks TLS. */
  readonly tlsCredentials?: ServerCredentials;
  /** Lets a server without TLS listen on addresses that others can reach. */
  readonly allowInsecure?: boolean;
  /** Everybody is anonymous without it. */
  readonly authenticate?: Authenticate;
}

export interface NotaryServer {
  /**
   * @param address `host:port`, `[ipv6]:port` or `unix:/path`; port 0 for any free one.
   * @returns The address with the port that it has, and the port (0 for a unix socket).
   * @throws {Error} The address is refused (no TLS) or taken.
   */
  listen(address: string): Promise<{ readonly address: string; readonly port: number }>;
  /** What health checks hear while the server is not draining, for example false while the database is away. */
  setServing(serving: boolean): void;
  /**
   * Ends watches, refuses new calls, lets the notary answer those that it has, then closes; what is left after `graceMs` is
   * cut off. Again answers with the first one's promise.
   */
  shutdown(graceMs: number): Promise<void>;
}

const SERVICES: readonly DescService[] = [QuartermasterNotary, QuartermasterRegistry];
/** Pings that find dead peers; a peer that does not answer within the second time is gone. */
const KEEPALIVE_TIME_MS = 60_000;
const KEEPALIVE_TIMEOUT_MS = 20_000;

/** The gRPC edge: everything between the network and the notary. */
export function createNotaryServer(options: NotaryServerOptions): NotaryServer {
  const limits = resolveLimits(options.limits);
  const openCalls = new OpenCalls();
  const health = new Health(SERVICES.map((service) => service.typeName));
  const traitsOf = methodTraits(limits.maxMessageBytes);

  const budget = new MemoryBudget(limits.memoryBudgetBytes);
  const unread = new UnreadAnswers(budget, limits);
  const memory: GateMemory = {
    capacityBytes: budget.capacityBytes,
    freeBytes: () => budget.freeForBigBytes,
    evictOverdue: () => unread.evictOverdue(),
  };
  // From the network up.
  const layers: readonly Layering[] = [
    accessLog(options.logger),
    openCalls.layer,
    ...(options.authenticate === undefined ? [] : [authentication(options.authenticate)]),
    readDeadline(limits.readDeadlineMs),
    admission(new ReadGate({ ...limits, memory }), budget, unread),
  ];

  const server = new Server({
    interceptors: [interceptorOf((method, call) => new CallContext(traitsOf(method), call), layers)],
    'grpc.max_receive_message_length': limits.maxMessageBytes,
    'grpc.max_concurrent_streams': limits.maxConcurrentStreams,
    'grpc.keepalive_time_ms': KEEPALIVE_TIME_MS,
    'grpc.keepalive_timeout_ms': KEEPALIVE_TIMEOUT_MS,
    'grpc.enable_channelz': 0,
    ...(limits.maxConnectionAgeMs === 0
      ? {}
      : {
          'grpc.max_connection_age_ms': limits.maxConnectionAgeMs,
          'grpc.max_connection_age_grace_ms': limits.maxConnectionAgeGraceMs,
        }),
  });
  server.addService(
    serviceDefinition(QuartermasterNotary, {
      ...smallRequests(QuartermasterNotary),
      createAnchor: {
        decode: (bytes) => decodeCreateAnchor(bytes, limits.maxLeafCount),
        encode: encodeCreateAnchor,
      },
    }),
    notaryService(options.notary, limits.maxLeafCount),
  );
  server.addService(
    serviceDefinition(QuartermasterRegistry, smallRequests(QuartermasterRegistry)),
    registryService(options.registry),
  );
  const foreign = foreignServiceHost(server);
  health.addTo(foreign);
  if (options.reflection === true) addReflection(foreign, SERVICES);

  const addresses: string[] = [];
  let closing: Promise<void> | undefined;
  return {
    async listen(address) {
      const judged = checkListenAddress(address, {
        tls: options.tlsCredentials !== undefined,
        allowInsecure: options.allowInsecure ?? false,
      });
      if (!judged.ok) throw new Error(judged.explanation);
      const bound = await bindServer(server, address, options.tlsCredentials);
      addresses.push(bound.address);
      return bound;
    },
    setServing: (serving) => health.setServing(serving),
    shutdown(graceMs) {
      closing ??= shutdown(graceMs);
      return closing;
    },
  };

  async function shutdown(graceMs: number): Promise<void> {
    const endsAt = performance.now() + graceMs;
    // Before anything else, so that load balancers look elsewhere.
    health.drain();
    openCalls.refuseNew();
    openCalls.endStreams();
    try {
      await options.notary.drain(graceMs);
    } finally {
      // Streams that came since: health watches.
      openCalls.endStreams();
      await closeServer(server, addresses, endsAt - performance.now());
    }
  }
}

function smallRequests(service: DescService): Record<string, MethodCodec> {
  return Object.fromEntries(
    service.methods.map((method) => [method.localName, { decode: smallMessage(decoder(method.input)) }]),
  );
}
