import { once } from 'node:events';
import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import { create, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { pino } from 'pino';
import { CreateAnchorRequestSchema, QuartermasterNotary } from '#gen/quartermaster/v1/notary_pb.js';
import { QuartermasterRegistry } from '#gen/quartermaster/v1/registry_pb.js';
import { methodPath } from '../../../src/rpc/service-definition.ts';
import { createNotaryServer } from '../../../src/server/index.ts';
import {
  CREATE_ANCHOR,
  frame,
  GET_CHECKPOINT,
  type RawAnswer,
  RawConnection,
} from '../../server/raw-grpc.ts';
import { createCluster, openMemoryNotary } from '../memory-notary.ts';
import { damagedBytes } from '../mutation.ts';
import { asBytes, must, type Target } from '../target.ts';

/** All but the one that would end the anchoring for whoever comes next. */
const PATHS = [
  ...[...QuartermasterNotary.methods, ...QuartermasterRegistry.methods]
    .filter(({ name }) => name !== 'FreezeCluster')
    .map(methodPath),
  ...[
    '/grpc.health.v1.Health/Check',
    '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
    '/nowhere',
  ],
];
const HEADERS: readonly Record<string, string>[] = [
  ...[{}, {}, {}, { 'grpc-encoding': 'gzip' }, { 'grpc-encoding': 'deflate' }, { 'grpc-encoding': 'zstd' }],
  ...[
    { 'grpc-timeout': '1n' },
    { 'grpc-timeout': 'soon' },
    { 'grpc-timeout': '99999999H' },
    { 'grpc-accept-encoding': ',,' },
  ],
  ...[{ 'content-type': 'application/grpc+json' }, { 'content-type': 'text/html' }, { 'x-bin': '!' }],
];
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
const ANSWER_MS = 15_000;

/**
 * Bytes on the wire of a running server: [path, headers, how the body is cut, body], or, where the path is 255, bytes on a
 * bare connection. Each call ends, no answer blames the server, and the next caller is served.
 *
 * Seen red: with a deserializer that throws, which grpc-js answers INTERNAL to.
 */
export const frames: Target = {
  name: 'frames',
  share: 0.5,
  async open() {
    const notary = openMemoryNotary();
    const clusterId = await createCluster(notary);
    const server = createNotaryServer({
      ...notary,
      logger: pino({ level: 'silent' }),
      limits: { maxMessageBytes: 100_000, readDeadlineMs: 2_000 },
      reflection: true,
    });
    const { port } = await server.listen('127.0.0.1:0');
    const good = toBinary(
      CreateAnchorRequestSchema,
      create(CreateAnchorRequestSchema, { clusterId, packedLeaves: new Uint8Array(64) }),
    );
    let raw = new RawConnection(port);
    let calls = 0;
    return {
      inputs: inputsWith(good),
      async check(input) {
        const [path = 0, headers = 0, cut = 0, ...body] = asBytes(input);
        if (path === 255) {
          await garbage(port, Buffer.from(body), cut % 2 === 0);
        } else {
          // A connection that the server gave up is no reason to give up.
          if (++calls % 200 === 0 || raw.closed) {
            raw.close();
            raw = new RawConnection(port);
          }
          const isWatch = /Watch|Reflection/.test(PATHS[path % PATHS.length] ?? '');
          const answer = await send(raw, path, headers, cut, Buffer.from(body), isWatch);
          must(
            !['INTERNAL', 'UNKNOWN', 'DATA_LOSS'].includes(answer?.code ?? ''),
            `answered ${answer?.code}: ${answer?.message}`,
          );
          if (answer?.code === 'OK') return true;
        }
        if (calls % 20 === 0 || path === 255) await checkServed(port, good);
        return false;
      },
      async close() {
        raw.close();
        await server.shutdown(0);
      },
    };
  },
};

function inputsWith(good: Uint8Array): fc.Arbitrary<Uint8Array> {
  const whole = frame(good);
  const bodies = [
    whole,
    Buffer.concat([whole, whole]),
    whole.subarray(0, 20),
    frame(good, true),
    frame(gzipSync(good), true),
    frame(good, false, 4_000_000_000),
    frame(good, false, good.byteLength - 1),
    frame(good, false, 0),
    frame(Buffer.alloc(0)),
    frame(gzipSync(Buffer.alloc(1_000_000)), true),
    frame(Buffer.alloc(3_000, Buffer.from([0x12, 0]))),
  ];
  const call = fc
    .tuple(
      fc.nat(254),
      fc.nat(255),
      fc.nat(255),
      fc.oneof(fc.constantFrom(...bodies), damagedBytes(bodies), fc.uint8Array({ maxLength: 60 })),
    )
    .map(([path, headers, cut, body]) => Uint8Array.from([path % 2 === 0 ? 0 : path, headers, cut, ...body]));
  const bare = fc
    .tuple(fc.nat(1), fc.oneof(fc.uint8Array({ maxLength: 200 }), damagedBytes(HTTP2_FRAMES)))
    .map(([preface, body]) => Uint8Array.from([255, 0, preface, ...body]));
  return fc.oneof({ weight: 5, arbitrary: call }, { weight: 1, arbitrary: bare });
}

/** SETTINGS, PING, WINDOW_UPDATE of 0, RST_STREAM, CONTINUATION, HEADERS with an empty block (RFC 9113 section 6). */
const HTTP2_FRAMES = [
  ['000000040000000000', '0000080600000000000102030405060708', '00000408000000000000000000'],
  ['000000040000000000', '00000403000000000100000008', '000000090400000001', '000000010500000001'],
  ['00000604000000000000040000ffff', '000001000100000003aa', '0000050200000000030000000010'],
].map((frames) => new Uint8Array(Buffer.from(frames.join(''), 'hex')));

async function send(
  raw: RawConnection,
  path: number,
  headers: number,
  cut: number,
  body: Buffer,
  isWatch: boolean,
): Promise<RawAnswer | undefined> {
  const opened = raw.open(PATHS[path % PATHS.length] ?? '', HEADERS[headers % HEADERS.length]);
  const { stream, answer } = opened;
  for (const piece of pieces(body, cut)) if (!stream.destroyed) stream.write(piece);
  // Now and then a caller goes away in mid-message; and a watch only ever ends so.
  if (cut % 16 === 7) stream.close();
  else stream.end();
  let timer: NodeJS.Timeout | undefined;
  const patience = new Promise<undefined>((resolve, reject) => {
    timer = setTimeout(
      () => (isWatch ? resolve(undefined) : reject(new Error('a call does not end'))),
      isWatch ? 30 : ANSWER_MS,
    );
  });
  const result = await Promise.race([answer, patience]);
  clearTimeout(timer);
  if (result === undefined) stream.close();
  return result;
}

function pieces(body: Buffer, cut: number): Buffer[] {
  const size = [body.length, 1, 3, 5, 6, 64][cut % 6] ?? body.length;
  const cuts: Buffer[] = [];
  for (let from = 0; from < body.length && cuts.length < 40; from += size)
    cuts.push(body.subarray(from, from + size));
  cuts.push(body.subarray(cuts.reduce((sum, { length }) => sum + length, 0)));
  return cuts;
}

/** On a connection of its own, until the server closes it or has had all of it. */
async function garbage(port: number, bytes: Buffer, withPreface: boolean): Promise<void> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined).resume();
  socket.end(withPreface ? Buffer.concat([PREFACE, bytes]) : bytes);
  await once(socket, 'close', { signal: AbortSignal.timeout(ANSWER_MS) });
}

async function checkServed(port: number, good: Uint8Array): Promise<void> {
  const raw = new RawConnection(port);
  const { code } = await raw.call(CREATE_ANCHOR, frame(good));
  must(code === 'OK', `the next caller was answered ${code}`);
  must(
    (await raw.call(GET_CHECKPOINT, frame(good.subarray(0, 38)))).code === 'OK',
    'a read after it was refused',
  );
  raw.close();
}
