import type {
  DescMessage,
  DescMethod,
  DescService,
  MessageInitShape,
  MessageShape,
} from '@bufbuild/protobuf';
import { create } from '@bufbuild/protobuf';
import type { GenService, GenServiceMethods } from '@bufbuild/protobuf/codegenv2';
import type { CallOptions, ChannelOptions } from '@grpc/grpc-js';
import { Client as Channel, ChannelCredentials, Metadata } from '@grpc/grpc-js';
import { decoder, encoder, methodPath } from './service-definition.ts';

export interface RpcOptions {
  /** Cancels the call: it fails with the code CANCELLED. */
  readonly signal?: AbortSignal | undefined;
  /** From now. Without one the call waits for as long as it takes. */
  readonly timeoutMs?: number | undefined;
  readonly metadata?: Metadata | undefined;
}

type ClientMethod<M extends Pick<DescMethod, 'input' | 'output' | 'methodKind'>> =
  M['methodKind'] extends 'unary'
    ? (request: MessageInitShape<M['input']>, options?: RpcOptions) => Promise<MessageShape<M['output']>>
    : M['methodKind'] extends 'server_streaming'
      ? (
          request: MessageInitShape<M['input']>,
          options?: RpcOptions,
        ) => AsyncIterable<MessageShape<M['output']>>
      : never;

/** One function for each method of a service; what it rejects with is a `ServiceError` of grpc-js. */
export type Client<Methods extends GenServiceMethods> = {
  readonly [Name in keyof Methods]: ClientMethod<Methods[Name]>;
} & {
  /** Ends the connection once the calls in flight have ended. */
  close(): void;
};

/**
 * A client of one service.
 *
 * @param address `host:port`, or any target of grpc-js (`dns:///name:port`, `unix:/path`).
 * @example
 * const notary = createClient(QuartermasterNotary, '127.0.0.1:50051');
 * const { checkpoint } = await notary.getCheckpoint({ clusterId }, { timeoutMs: 5_000 });
 * notary.close();
 */
export function createClient<Methods extends GenServiceMethods>(
  service: GenService<Methods>,
  address: string,
  credentials: ChannelCredentials = ChannelCredentials.createInsecure(),
  channelOptions: ChannelOptions = {},
): Client<Methods> {
  const channel = new Channel(address, credentials, channelOptions);
  const methods = (service as DescService).methods.map((method) => [
    method.localName,
    method.methodKind === 'unary' ? unary(channel, method) : serverStreaming(channel, method),
  ]);
  return { ...Object.fromEntries(methods), close: () => channel.close() } as Client<Methods>;
}

type Request = MessageInitShape<DescMessage>;
type Response = MessageShape<DescMessage>;

function unary(channel: Channel, method: DescMethod) {
  const path = methodPath(method);
  const encode = encoder(method.input);
  const decode = decoder(method.output);
  return (request: Request, options: RpcOptions = {}): Promise<Response> =>
    new Promise((resolve, reject) => {
      const call = channel.makeUnaryRequest(
        path,
        encode,
        decode,
        create(method.input, request),
        options.metadata ?? new Metadata(),
        callOptions(options),
        (error, response) => {
          stopListening();
          if (error !== null) reject(error);
          else resolve(response as Response);
        },
      );
      const stopListening = onAbort(options.signal, () => call.cancel());
    });
}

function serverStreaming(channel: Channel, method: DescMethod) {
  const path = methodPath(method);
  const encode = encoder(method.input);
  const decode = decoder(method.output);
  return async function* (request: Request, options: RpcOptions = {}): AsyncGenerator<Response> {
    const call = channel.makeServerStreamRequest(
      path,
      encode,
      decode,
      create(method.input, request),
      options.metadata ?? new Metadata(),
      callOptions(options),
    );
    const stopListening = onAbort(options.signal, () => call.cancel());
    try {
      yield* call;
    } finally {
      stopListening();
      // The reader left the loop before the stream's end: without this the server would go on sending.
      call.cancel();
    }
  };
}

function callOptions(options: RpcOptions): CallOptions {
  return options.timeoutMs === undefined ? {} : { deadline: Date.now() + options.timeoutMs };
}

function onAbort(signal: AbortSignal | undefined, cancel: () => void): () => void {
  if (signal === undefined) return () => {};
  if (signal.aborted) cancel();
  else signal.addEventListener('abort', cancel, { once: true });
  return () => signal.removeEventListener('abort', cancel);
}
