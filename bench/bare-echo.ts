/**
 * The limit that gRPC sets: a server that only decodes a CreateAnchorRequest and sends it back, by grpc-js and protobuf-es as
 * they are, and the same client as for the notary. As a program it is the server: it tells its port to the parent.
 */
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { Server, ServerCredentials, type ServiceDefinition } from '@grpc/grpc-js';
import { type CreateAnchorRequest, CreateAnchorRequestSchema } from '#gen/quartermaster/v1/notary_pb.js';
import { AnchorRequests } from '../src/cli/load/anchor-load.ts';
import { EncodedCall, type Endpoint } from '../src/cli/load/encoded-call.ts';
import { keepInFlight, type LoadEvents, type Measured, type Pacing } from '../src/cli/load/keep-in-flight.ts';

const MAX_MESSAGE_BYTES = 40 * 1024 * 1024;
const PATH = '/bench.Echo/Echo';
const CLUSTER_ID = '0198c7a0-5f6e-4d2c-9b1a-3e4f5a6b7c8d';

const serialize = (message: CreateAnchorRequest): Buffer =>
  Buffer.from(toBinary(CreateAnchorRequestSchema, message));
const deserialize = (bytes: Buffer): CreateAnchorRequest => fromBinary(CreateAnchorRequestSchema, bytes);

const ECHO: ServiceDefinition = {
  echo: {
    path: PATH,
    requestStream: false,
    responseStream: false,
    requestSerialize: serialize,
    requestDeserialize: deserialize,
    responseSerialize: serialize,
    responseDeserialize: deserialize,
  },
};

export async function loadEcho(
  endpoints: readonly Endpoint[],
  { leavesPerCall, packed }: { readonly leavesPerCall: number; readonly packed: boolean },
  pacing: Pacing,
  events: LoadEvents,
): Promise<Measured> {
  const requests = new AnchorRequests([CLUSTER_ID], leavesPerCall, packed);
  const calls = new EncodedCall(endpoints, PATH, { 'grpc.max_receive_message_length': MAX_MESSAGE_BYTES });
  try {
    return await keepInFlight(pacing, (caller, turn) => calls.send(requests.next(turn), caller), events);
  } finally {
    calls.close();
  }
}

if (import.meta.main) {
  const server = new Server({
    'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
    'grpc.max_concurrent_streams': 256,
    'grpc.enable_channelz': 0,
  });
  server.addService(ECHO, {
    echo: (
      call: { readonly request: CreateAnchorRequest },
      answer: (error: null, message: CreateAnchorRequest) => void,
    ) => answer(null, call.request),
  });
  server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
    if (error !== null) throw error;
    process.send?.(port);
  });
  process.on('disconnect', () => process.exit());
}
