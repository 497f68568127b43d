import type {
  Deadline,
  Metadata,
  ServerInterceptingCall,
  ServerInterceptingCallInterface,
  ServerInterceptor,
} from '@grpc/grpc-js';
import type { CallContext } from './call-context.ts';

/** What grpc-js tells the one above about a call. */
export type CallListener = Parameters<ServerInterceptingCallInterface['start']>[0];
/** The client's certificate, where TLS asked for one. */
export type AuthContext = ReturnType<ServerInterceptingCallInterface['getAuthContext']>;
export type CallStatus = Parameters<ServerInterceptingCallInterface['sendStatus']>[0];
export type ConnectionInfo = ReturnType<ServerInterceptingCallInterface['getConnectionInfo']>;

/**
 * One layer of a call between grpc-js below and the handler above; passes everything on. Interceptors override what they
 * are about.
 *
 * It is the call for the layer above and the listener for the layer below in one object: grpc-js's own
 * `ServerInterceptingCall` makes a handful of objects and closures for each layer of each call.
 */
export class CallLayer implements ServerInterceptingCallInterface, CallListener {
  readonly context: CallContext;
  protected readonly below: ServerInterceptingCallInterface;
  #above: CallListener | undefined;

  constructor(below: ServerInterceptingCallInterface, context: CallContext) {
    this.below = below;
    this.context = context;
  }

  /** Where messages and events go next. */
  protected get above(): CallListener {
    if (this.#above === undefined) throw new Error('the call was not started');
    return this.#above;
  }

  /** The call that grpc-js made, under all layers. */
  get lowest(): ServerInterceptingCallInterface {
    return this.below instanceof CallLayer ? this.below.lowest : this.below;
  }

  // from above

  start(listener: CallListener): void {
    this.#above = listener;
    this.below.start(this);
  }

  startRead(): void {
    this.below.startRead();
  }

  sendMetadata(metadata: Metadata): void {
    this.below.sendMetadata(metadata);
  }

  sendMessage(message: unknown, callback: () => void): void {
    this.below.sendMessage(message, callback);
  }

  sendStatus(status: CallStatus): void {
    this.below.sendStatus(status);
  }

  getPeer(): string {
    return this.below.getPeer();
  }

  getDeadline(): Deadline {
    return this.below.getDeadline();
  }

  getHost(): string {
    return this.below.getHost();
  }

  getAuthContext(): AuthContext {
    return this.below.getAuthContext();
  }

  getConnectionInfo(): ConnectionInfo {
    return this.below.getConnectionInfo();
  }

  getMetricsRecorder(): ReturnType<ServerInterceptingCallInterface['getMetricsRecorder']> {
    return this.below.getMetricsRecorder();
  }

  // from below

  onReceiveMetadata(metadata: Metadata): void {
    this.above.onReceiveMetadata(metadata);
  }

  onReceiveMessage(message: unknown): void {
    this.above.onReceiveMessage(message);
  }

  onReceiveHalfClose(): void {
    this.above.onReceiveHalfClose();
  }

  onCancel(): void {
    this.above.onCancel();
  }
}

/** Puts a layer on what is below, or answers what is below where this call does not need it. */
export type Layering = (
  below: ServerInterceptingCallInterface,
  context: CallContext,
) => ServerInterceptingCallInterface;

/**
 * One grpc-js interceptor from a list of layers, lowest (nearest to the network) first.
 *
 * grpc-js only ever uses the interface of what an interceptor returns, though its type says the class.
 */
export function interceptorOf(
  makeContext: (
    method: Parameters<ServerInterceptor>[0],
    call: ServerInterceptingCallInterface,
  ) => CallContext,
  layers: readonly Layering[],
): ServerInterceptor {
  return (method, call) => {
    const context = makeContext(method, call);
    let top = call;
    for (const layer of layers) top = layer(top, context);
    return top as unknown as ServerInterceptingCall;
  };
}
