/**
 * The glue between protobuf-es, which describes services, and grpc-js, which wants definitions of its own.
 */
import type { DescMessage, DescMethod, DescService, MessageShape } from '@bufbuild/protobuf';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import type { ServiceDefinition } from '@grpc/grpc-js';

/**
 * What arrived as a message. A deserializer that throws makes grpc-js answer INTERNAL, as if the server were to blame;
 * so the ones made here never throw, and whoever sits between grpc-js and the handlers judges the result.
 */
export type Received<T> =
  | { readonly ok: true; readonly message: T; readonly byteLength: number }
  | { readonly ok: false; readonly error: unknown };

/** How one method's messages are read and written where the generated way is too slow or too trusting. */
export interface MethodCodec {
  readonly decode?: (bytes: Uint8Array) => unknown;
  readonly encode?: (message: never) => Buffer;
}

/** Unknown fields are dropped: nobody reads them here, and each one kept would be an object that the sender makes us hold. */
const READ_OPTIONS = { readUnknownFields: false } as const;

/** `decode`, with what it throws as a value. */
export function received<T>(decode: (bytes: Uint8Array) => T): (bytes: Uint8Array) => Received<T> {
  return (bytes) => {
    try {
      return { ok: true, message: decode(bytes), byteLength: bytes.byteLength };
    } catch (error) {
      return { ok: false, error };
    }
  };
}

/** Reads one message of a type. Throws where the bytes are no such message. */
export function decoder<Desc extends DescMessage>(type: Desc): (bytes: Uint8Array) => MessageShape<Desc> {
  return (bytes) => fromBinary(type, bytes, READ_OPTIONS);
}

/** Writes one message of a type. */
export function encoder<Desc extends DescMessage>(type: Desc): (message: MessageShape<Desc>) => Buffer {
  return (message) => asBuffer(toBinary(type, message));
}

/** grpc-js calls methods of Buffer on what a serializer returns. No bytes are copied. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The `:path` of a method, for example `/quartermaster.v1.QuartermasterNotary/CreateAnchor`. */
export function methodPath(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}

/**
 * A grpc-js definition of a service, for `Server.addService`.
 *
 * Requests come out of its deserializers as {@link Received}; methods are named as in TypeScript (`createAnchor`).
 *
 * @param codecs Methods (by that name) whose messages are read or written in a special way.
 */
export function serviceDefinition(
  service: DescService,
  codecs: Readonly<Record<string, MethodCodec>> = {},
): ServiceDefinition {
  return Object.fromEntries(
    service.methods.map((method) => {
      const codec = codecs[method.localName];
      const encode = codec?.encode as ((message: MessageShape<DescMessage>) => Buffer) | undefined;
      return [
        method.localName,
        {
          path: methodPath(method),
          requestStream: method.methodKind === 'client_streaming' || method.methodKind === 'bidi_streaming',
          responseStream: method.methodKind === 'server_streaming' || method.methodKind === 'bidi_streaming',
          requestSerialize: encoder(method.input),
          requestDeserialize: received(codec?.decode ?? decoder(method.input)),
          responseSerialize: encode ?? encoder(method.output),
          responseDeserialize: decoder(method.output),
        },
      ];
    }),
  );
}
