import { create } from '@bufbuild/protobuf';
import type { Server as GrpcServer, ServiceError } from '@grpc/grpc-js';
import { Metadata, Server, ServerCredentials } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import * as pb from '#gen/quartermaster/v1/notary_pb.js';
import { createClient } from '../../src/rpc/client.ts';
import type { Received } from '../../src/rpc/service-definition.ts';
import { methodPath, received, serviceDefinition } from '../../src/rpc/service-definition.ts';
import { encodeStatusDetails, STATUS_DETAILS, statusDetails } from '../../src/rpc/status-details.ts';

const DETAILS = {
  reason: 'QUEUE_FULL',
  domain: 'example.com',
  violations: [{ field: 'leaves[3]', description: 'wrong' }],
  retryDelayMs: 1_500,
};

let server: GrpcServer;
const connect = (port: number) => createClient(pb.QuartermasterNotary, `127.0.0.1:${port}`);
let client: ReturnType<typeof connect>;

beforeAll(async () => {
  server = new Server();
  server.addService(serviceDefinition(pb.QuartermasterNotary), {
    getCheckpoint(
      call: { request: Received<pb.GetCheckpointRequest>; metadata: Metadata },
      callback: (error: object | null, answer?: object) => void,
    ) {
      if (!call.request.ok) return callback({ code: 3, details: 'undecodable' });
      const { clusterId, treeSize } = call.request.message;
      if (clusterId === 'wait') return;
      if (clusterId === 'fail') {
        const metadata = new Metadata();
        metadata.set(STATUS_DETAILS, Buffer.from(encodeStatusDetails(8, 'full', DETAILS)));
        return callback({ code: 8, details: 'full', metadata });
      }
      const checkpoint = `${clusterId} ${treeSize} ${call.metadata.get('who')} ${call.request.byteLength}`;
      callback(null, create(pb.GetCheckpointResponseSchema, { checkpoint }));
    },
    watchCheckpoints(call: {
      write(message: object): void;
      end(): void;
      request: Received<pb.WatchCheckpointsRequest>;
    }) {
      for (const checkpoint of ['1', '2'])
        call.write(create(pb.WatchCheckpointsResponseSchema, { checkpoint }));
      if (call.request.ok && call.request.message.clusterId !== 'open') call.end();
    },
  });
  const port = await new Promise<number>((resolve) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (_error, bound) => resolve(bound)),
  );
  client = connect(port);
});
afterAll(() => {
  client.close();
  server.forceShutdown();
});

const codeOf = (call: Promise<unknown>) =>
  call.then(
    () => 0,
    (error: ServiceError) => error.code,
  );

describe('the client', () => {
  test('sends a message and metadata, and resolves with the answer', async () => {
    const metadata = new Metadata();
    metadata.set('who', 'me');
    const { checkpoint } = await client.getCheckpoint({ clusterId: 'c', treeSize: 300n }, { metadata });
    expect(checkpoint).toBe('c 300 me 6');
  });

  test('ends a call at its timeout, and when its signal aborts, also before it began', async () => {
    expect(await codeOf(client.getCheckpoint({ clusterId: 'wait' }, { timeoutMs: 30 }))).toBe(4);
    const controller = new AbortController();
    const waiting = codeOf(client.getCheckpoint({ clusterId: 'wait' }, { signal: controller.signal }));
    controller.abort();
    expect(await waiting).toBe(1);
    expect(await codeOf(client.getCheckpoint({ clusterId: 'c' }, { signal: AbortSignal.abort() }))).toBe(1);
  });

  test('reads a stream to its end, and ends one that is left', async () => {
    const seen: string[] = [];
    for await (const { checkpoint } of client.watchCheckpoints({ clusterId: 'c' })) seen.push(checkpoint);
    expect(seen).toEqual(['1', '2']);
    for await (const { checkpoint } of client.watchCheckpoints({ clusterId: 'open' })) {
      expect(checkpoint).toBe('1');
      break;
    }
  });

  test('rejects with an error whose details can be read', async () => {
    const error = await client.getCheckpoint({ clusterId: 'fail' }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 8, details: 'full' });
    expect(statusDetails(error)).toMatchObject({
      ...DETAILS,
      violations: DETAILS.violations.map((violation) => expect.objectContaining(violation)),
    });
  });
});

describe('status details', () => {
  test.each([
    ['undefined', undefined],
    ['null', null],
    ['an ordinary error', new Error('no')],
    ['a call without details', { metadata: new Metadata() }],
  ])('of %s are none', (_name, error) => expect(statusDetails(error)).toBeUndefined());

  test('that are garbage are none', () => {
    const metadata = new Metadata();
    metadata.set(STATUS_DETAILS, Buffer.from([0xff, 0xff]));
    expect(statusDetails({ metadata })).toBeUndefined();
  });
});

test('a service definition has the paths that gateways call', () => {
  const paths = Object.values(serviceDefinition(pb.QuartermasterNotary)).map(({ path }) => path);
  expect(paths).toHaveLength(10);
  expect(paths).toContain('/quartermaster.v1.QuartermasterNotary/CreateAnchor');
  expect(methodPath(pb.QuartermasterNotary.method.getLog)).toBe(
    '/quartermaster.v1.QuartermasterNotary/GetLog',
  );
});

test('what a decoder throws comes back as a value', () => {
  const read = received(() => {
    throw new RangeError('short');
  });
  expect(read(new Uint8Array())).toEqual({ ok: false, error: new RangeError('short') });
});
