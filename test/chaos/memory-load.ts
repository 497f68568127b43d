import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { create, toBinary } from '@bufbuild/protobuf';
import { CreateAnchorRequestSchema, ListAnchorsRequestSchema } from '#gen/quartermaster/v1/notary_pb.js';
import { CREATE_ANCHOR, frame, RawConnection } from '../server/raw-grpc.ts';

/** The default of `--max-leaf-count`. */
export const MAXIMAL_LEAVES = 1_048_576;
const LIST_ANCHORS = '/quartermaster.v1.QuartermasterNotary/ListAnchors';
/** Where a refusal tells no time to come again, none is taken. */
const PAUSE_MS = 1_000;

/** What became of calls, by the name of their status, `RESOURCE_EXHAUSTED with RetryInfo` apart. */
export type Outcomes = Map<string, number>;

/** Maximal batches of one cluster as they go over the wire, made once: every caller sends the same bytes. */
export interface HeavyBodies {
  readonly packed: Buffer;
  readonly leaves: Buffer;
}

export function heavyBodies(clusterId: string): HeavyBodies {
  const packedLeaves = new Uint8Array(32 * MAXIMAL_LEAVES);
  const words = new DataView(packedLeaves.buffer);
  for (let i = 0; i < MAXIMAL_LEAVES; i++) words.setUint32(32 * i, i);
  const message = (fields: { packedLeaves: Uint8Array } | { leaves: Uint8Array[] }) =>
    frame(toBinary(CreateAnchorRequestSchema, create(CreateAnchorRequestSchema, { clusterId, ...fields })));
  const leaves = Array.from({ length: MAXIMAL_LEAVES }, (_, i) => packedLeaves.subarray(32 * i, 32 * i + 32));
  return { packed: message({ packedLeaves }), leaves: message({ leaves }) };
}

/** Sends one maximal batch after the other on a connection of its own, and comes again when it is told to. */
export async function sendHeavy(
  port: number,
  body: Buffer,
  outcomes: Outcomes,
  signal: AbortSignal,
): Promise<void> {
  const connection = new RawConnection(port);
  signal.addEventListener('abort', () => connection.close());
  while (!signal.aborted) {
    const { code, rstCode, details } = await connection.call(CREATE_ANCHOR, body);
    if (signal.aborted) return;
    const told = details?.retryDelayMs === undefined ? '' : ' with RetryInfo';
    count(outcomes, code === undefined ? `without a status, RST_STREAM ${rstCode}` : `${code}${told}`);
    if (code !== 'OK') await delay(details?.retryDelayMs ?? PAUSE_MS, undefined, { signal }).catch(() => {});
  }
}

/** Asks for big answers, several at once, and reads none; asks anew when they are given up. */
export async function readNothing(
  port: number,
  clusterId: string,
  answersAtOnce: number,
  outcomes: Outcomes,
  signal: AbortSignal,
): Promise<void> {
  const request = create(ListAnchorsRequestSchema, { clusterId, pageSize: 1_000 });
  const ask = frame(toBinary(ListAnchorsRequestSchema, request));
  // With a window of nothing the answers stay where they are.
  const connection = new RawConnection(port, { initialWindowSize: 0 });
  signal.addEventListener('abort', () => connection.close());
  const leaveUnread = async () => {
    while (!signal.aborted) {
      const { code } = await connection.call(LIST_ANCHORS, ask);
      if (signal.aborted) return;
      count(outcomes, code ?? 'given up');
      await delay(PAUSE_MS, undefined, { signal }).catch(() => {});
    }
  };
  await Promise.all(Array.from({ length: answersAtOnce }, leaveUnread));
}

/** Connections that were made for HTTP/2 and then say nothing. */
export function idleConnections(port: number, amount: number): () => void {
  // By hand: a thousand sessions of node:http2 would take the memory of the process that tests.
  const preface = Buffer.concat([
    Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
    Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]),
  ]);
  const sockets = Array.from({ length: amount }, () => {
    const socket = connect(port, '127.0.0.1', () => socket.write(preface));
    socket.on('error', () => {}).resume();
    return socket;
  });
  return () => {
    for (const socket of sockets) socket.destroy();
  };
}

export function count(outcomes: Outcomes, name: string): void {
  outcomes.set(name, (outcomes.get(name) ?? 0) + 1);
}
