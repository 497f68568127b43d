import { create, type DescMessage, toBinary } from '@bufbuild/protobuf';
import type { ServerInterceptingCallInterface, StatusObject } from '@grpc/grpc-js';
import { status } from '@grpc/grpc-js';
import fc from 'fast-check';
import { QuartermasterNotary } from '#gen/quartermaster/v1/notary_pb.js';
import { QuartermasterRegistry } from '#gen/quartermaster/v1/registry_pb.js';
import { decoder, encoder, methodPath } from '../../../src/rpc/service-definition.ts';
import { STATUS_DETAILS } from '../../../src/rpc/status-details.ts';
import { CallContext } from '../../../src/server/call-context.ts';
import { decodeCreateAnchor, encodeCreateAnchor } from '../../../src/server/create-anchor-codec.ts';
import { methodTraits } from '../../../src/server/method-traits.ts';
import { notaryService } from '../../../src/server/notary-service.ts';
import { registryService } from '../../../src/server/registry-service.ts';
import { ANCHOR, CLUSTER, FakeNotary } from '../../server/fake-notary.ts';
import { damagedBytes } from '../mutation.ts';
import { asBytes, must, type Target } from '../target.ts';

const MAX_LEAF_COUNT = 1_000;
/** All that answer once; the watch parses what GetLog does. */
const METHODS = [...QuartermasterNotary.methods, ...QuartermasterRegistry.methods].filter(
  ({ methodKind }) => methodKind === 'unary',
);

const id = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(CLUSTER, ANCHOR, CLUSTER.toUpperCase()) },
  { weight: 1, arbitrary: fc.constantFrom('', '-'.repeat(36), `${CLUSTER}\n`, `{${CLUSTER}}`) },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 40 }) },
);
const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 20 }),
  fc.constantFrom('\0', 'é'.repeat(200), 'x'.repeat(5_000)),
);
const int64 = fc.oneof(
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.bigInt({ min: -2n, max: 9n }),
);
const int32 = fc.oneof(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), fc.integer({ min: -1, max: 3 }));
const uint32 = fc.oneof(fc.nat(5), fc.integer({ min: 0, max: 2 ** 32 - 1 }));
const time = fc.record({
  seconds: fc.oneof(int64, fc.bigInt({ min: 0n, max: 2_000_000_000n })),
  nanos: int32,
});

/** Fields by their names, whatever the message: what a message has not, it leaves out. */
const FIELDS: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  ...{ clusterId: id, anchorId: id, requestId: id, predecessorId: id },
  ...{ displayName: text, reason: text, pageToken: text, knownCheckpoint: text, confirmedCheckpoint: text },
  ...{
    treeSize: int64,
    firstSize: int64,
    secondSize: int64,
    etcdRevision: int64,
    pageSize: int32,
    leafIndex: uint32,
  },
  ...{
    startTime: time,
    endTime: time,
    references: fc.array(fc.record({ anchorId: id, leafIndex: uint32 }), { maxLength: 4 }),
  },
  leaves: fc.array(fc.uint8Array({ minLength: 31, maxLength: 33 }), { maxLength: 3 }),
  packedLeaves: fc.uint8Array({ maxLength: 70 }),
};

function messageOf(type: DescMessage): fc.Arbitrary<Uint8Array> {
  const fields: Record<string, fc.Arbitrary<unknown>> = {};
  for (const { localName } of type.fields) {
    const field = FIELDS[localName];
    if (field === undefined) throw new Error(`no values for ${type.typeName}.${localName}`);
    fields[localName] = field;
  }
  return fc.record(fields, { requiredKeys: [] }).map((given) => toBinary(type, create(type, given)));
}

/** The number of the method, then its message. */
const messages = fc.oneof(
  ...METHODS.map(({ input }, number) => messageOf(input).map((bytes) => Uint8Array.from([number, ...bytes]))),
);
const SEEDS = fc.sample(messages, { seed: 2, numRuns: 150 });

/**
 * Every request that decodes is refused with a status of the caller's making or reaches the notary with arguments that storage
 * can be asked with. Never INTERNAL, never a status that HTTP/2 or a client would stumble over.
 *
 * Seen red: with `treeSize` unbounded; with NUL taken in texts; with times of any year.
 */
export const requests: Target = {
  name: 'requests',
  share: 16,
  open() {
    const notary = new FakeNotary();
    const services = { ...notaryService(notary, MAX_LEAF_COUNT), ...registryService(notary) };
    const traitsOf = methodTraits(1_000_000);
    return {
      inputs: fc.oneof({ weight: 3, arbitrary: messages }, { weight: 1, arbitrary: damagedBytes(SEEDS) }),
      async check(input) {
        const [number = 0, ...bytes] = asBytes(input);
        const method = METHODS[number % METHODS.length];
        if (method === undefined) return false;
        const message = decoded(method.localName, method.input, Uint8Array.from(bytes));
        if (message === undefined) return false;
        notary.asked.length = 0;
        notary.submissions.length = 0;
        const traits = traitsOf({ path: methodPath(method), requestStream: false, responseStream: false });
        const context = new CallContext(traits, LOWEST);
        const { refused, answer } = await call(services[method.localName] as Handler, { message, context });
        checkArguments([...notary.asked, ...notary.submissions]);
        if (refused !== undefined) {
          checkStatus(refused);
          return false;
        }
        if (method.localName === 'createAnchor')
          encodeCreateAnchor(answer as Parameters<typeof encodeCreateAnchor>[0]);
        else encoder(method.output)(answer as never);
        return true;
      },
    };
  },
};

const LOWEST = {
  getPeer: () => 'peer',
  getDeadline: () => Number.POSITIVE_INFINITY,
} as ServerInterceptingCallInterface;

/** As the server decodes; what it cannot decode it answers INVALID_ARGUMENT to. */
function decoded(method: string, type: DescMessage, bytes: Uint8Array): unknown {
  try {
    return method === 'createAnchor' ? decodeCreateAnchor(bytes, MAX_LEAF_COUNT) : decoder(type)(bytes);
  } catch {
    return undefined;
  }
}

type Handler = (call: unknown, callback: (error: StatusObject | null, answer?: unknown) => void) => void;

function call(
  handler: Handler,
  request: unknown,
): Promise<{ readonly refused?: StatusObject; readonly answer?: unknown }> {
  return new Promise((resolve) => {
    handler({ request }, (error, answer) => resolve(error === null ? { answer } : { refused: error }));
  });
}

function checkStatus({ code, details, metadata }: StatusObject): void {
  // FAILED_PRECONDITION is the fake notary's own.
  must(
    [
      status.FAILED_PRECONDITION,
      status.INVALID_ARGUMENT,
      status.OUT_OF_RANGE,
      status.RESOURCE_EXHAUSTED,
    ].includes(code),
    `answered ${status[code]}: ${details}`,
  );
  must(details.length <= 512 && encodeURI(details).length > 0, 'a message that is no header');
  const [trailer] = metadata.get(STATUS_DETAILS);
  must(trailer instanceof Buffer && trailer.length <= 4096, 'details that some clients hang on');
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const NO_UUIDS = new Set(['reason', 'displayName', 'knownCheckpoint', 'confirmedCheckpoint']);

/** What reaches the notary is trusted there. */
function checkArguments(value: unknown, name = ''): void {
  if (typeof value === 'string') {
    must(value.isWellFormed() && !value.includes('\0'), `${name} cannot be stored`);
    if (name.endsWith('Id')) must(UUID.test(value), `${name} is no UUID`);
    else
      must(NO_UUIDS.has(name) ? Buffer.byteLength(value) <= 4096 : value.length <= 4096, `${name} is long`);
  } else if (typeof value === 'number') {
    must(Number.isSafeInteger(value) && (value >= 0 || name.endsWith('Ms')), `${name} is ${value}`);
    if (name === 'limit') must(value >= 1 && value <= 65_536, `limit is ${value}`);
    if (name.endsWith('Ms')) must(!Number.isNaN(new Date(value).getTime()), `${name} is no time`);
  } else if (typeof value === 'bigint') {
    must(value >= 0n && value < 2n ** 63n, `${name} is ${value}`);
  } else if (value instanceof Uint8Array) {
    must(
      value.length > 0 && value.length % 32 === 0 && value.length <= MAX_LEAF_COUNT * 32,
      `${name} are no leaves`,
    );
  } else if (Array.isArray(value)) {
    for (const member of value) checkArguments(member, name);
  } else if (value !== null && typeof value === 'object' && !(value instanceof AbortSignal)) {
    for (const [key, member] of Object.entries(value)) checkArguments(member, key);
  }
}
