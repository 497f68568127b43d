import { randomUUID } from 'node:crypto';
import dns from 'node:dns';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ChannelCredentials, ServerCredentials, status } from '@grpc/grpc-js';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { GrpcLink } from '../../src/gateway/grpc-link.ts';
import type { AnchorCall, CallLimits } from '../../src/gateway/notary-link.ts';
import { judge } from '../../src/gateway/refusal.ts';
import { VerificationError, verifyAnchorResponse, verifyReceipt } from '../../src/verify/index.ts';
import { temporaryDirectory } from '../cli/temporary-directory.ts';
import { leavesNamed, vkeyOf } from '../integration/careful-caller.ts';
import { type NotaryUnderTest, startNotary } from '../integration/notary-under-test.ts';
import { startEdge } from '../server/edge.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';
import { type Listener, listen } from './listener.ts';
import { LyingNotary } from './lying-notary.ts';

const TLS_FILES = join(import.meta.dirname, '../cli/tls');
const certificate = readFileSync(join(TLS_FILES, 'server.crt'));
const key = readFileSync(join(TLS_FILES, 'server.key'));

const directory = temporaryDirectory();
const clusterId = randomUUID();
let database: TestDatabase;
let notary: NotaryUnderTest;
let vkey: string;
beforeAll(async () => {
  database = await openTestDatabase();
  notary = await startNotary({ databaseUrl: database.databaseUrl });
  await notary.registry.createCluster({ clusterId, displayName: 'link' });
  vkey = await vkeyOf(notary.seed, clusterId);
});
afterAll(async () => {
  await notary.stop();
  await database.close();
});

/** Ended after each test, the last first. */
const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

function linkTo(endpoint: string, credentials?: ChannelCredentials): GrpcLink {
  const link = new GrpcLink({ endpoint, credentials });
  ends.push(() => link.close());
  return link;
}

async function listening(...where: Parameters<typeof listen>): Promise<Listener> {
  const listener = await listen(...where);
  ends.push(() => listener.close());
  return listener;
}

const within = (timeoutMs: number, signal = new AbortController().signal): CallLimits => ({
  timeoutMs,
  signal,
});

const callOf = (leafCount = 3): AnchorCall => ({
  clusterId,
  packedLeaves: leavesNamed(randomUUID(), leafCount),
  etcdRevision: 5n,
  requestId: randomUUID(),
  knownCheckpoint: '',
});

/** Anchors through the link and verifies. */
async function anchor(link: GrpcLink, timeoutMs = 10_000) {
  const call = callOf();
  const answer = await link.createAnchor(call, within(timeoutMs));
  return verifyAnchorResponse(answer, call, { logKeys: [vkey] });
}

/** The name of the status that a call fails with, and for how long it was there. */
async function failing(call: Promise<unknown>) {
  const begunAt = performance.now();
  const error = await call.then(
    () => new Error('the call succeeded'),
    (error: Error & { readonly code?: status }) => error,
  );
  const { code } = error as { readonly code?: status };
  return { code: code === undefined ? error.message : status[code], afterMs: performance.now() - begunAt };
}

describe('over a link', () => {
  test('a batch is anchored, packed, and its answer has all that is verified', async () => {
    const link = linkTo(notary.address);
    const call = callOf();
    const answer = await link.createAnchor(call, within(10_000));
    expect(answer).toMatchObject({ leafCount: 3, leafIndices: [], replayed: false });
    expect(typeof answer.logIndex).toBe('number');
    const { checkpoint } = verifyAnchorResponse(answer, call, { logKeys: [vkey] });

    const again = await link.createAnchor(
      { ...call, knownCheckpoint: checkpoint.checkpoint },
      within(10_000),
    );
    expect(again).toMatchObject({ anchorId: answer.anchorId, replayed: true });
  });

  test('a receipt is fetched, and a consistency path', async () => {
    const link = linkTo(notary.address);
    const call = callOf();
    const { anchorId } = await link.createAnchor(call, within(10_000));
    const receipt = await link.getReceipt({ clusterId, anchorId, leafIndex: 2 }, within(10_000));
    const leaf = call.packedLeaves.subarray(64, 96);
    const { treeSize } = verifyReceipt(receipt, { leaf, anchorId, leafIndex: 2 }, { logKeys: [vkey] });
    await anchor(link);
    const path = await link.getConsistencyPath(
      { clusterId, firstSize: treeSize, secondSize: treeSize + 1 },
      within(10_000),
    );
    expect(path.length).toBeGreaterThan(0);
    expect(path.every((hash) => hash.length === 32)).toBe(true);
  });

  test('an answer without a receipt is one that no check passes', async () => {
    const strange = await LyingNotary.start();
    ends.push(() => strange.stop());
    const anchorId = randomUUID();
    const receipt = await linkTo(strange.address).getReceipt(
      { clusterId, anchorId, leafIndex: 0 },
      within(10_000),
    );
    const expected = { leaf: leavesNamed('x'), anchorId, leafIndex: 0 };
    expect(() => verifyReceipt(receipt, expected, { logKeys: [vkey] })).toThrow(VerificationError);
  });

  test('what the notary refuses is told with its details', async () => {
    const link = linkTo(notary.address);
    const error = await link
      .createAnchor({ ...callOf(), clusterId: randomUUID() }, within(10_000))
      .catch((error: unknown) => error);
    expect(judge(error)).toMatchObject({ kind: 'refused', refusal: { reason: 'CLUSTER_NOT_FOUND' } });
  });

  test('the largest batch passes', async () => {
    const edge = await startEdge();
    ends.push(() => edge.stop());
    const link = linkTo(edge.address);
    const packedLeaves = new Uint8Array(1_048_576 * 32);
    expect(await link.createAnchor({ ...callOf(), packedLeaves }, within(30_000))).toMatchObject({
      leafCount: 1_048_576,
    });
  });

  // Red when the number is taken as it comes: 2^63 - 1 would be some other index.
  test('an index that no number holds is refused by whoever verifies', async () => {
    const edge = await startEdge();
    ends.push(() => edge.stop());
    const link = linkTo(edge.address);
    edge.fake.override({
      createAnchor: async () => ({
        ...(await notaryAnswer()),
        logIndex: (2n ** 53n) as unknown as number,
      }),
    });
    const notaryAnswer = async () => {
      const { logIndex, ...answer } = await notary.notary.createAnchor(callOf());
      return { ...answer, logIndex: Number(logIndex) };
    };
    const call = callOf();
    const answer = await link.createAnchor(call, within(10_000));
    expect(Number.isSafeInteger(answer.logIndex)).toBe(false);
    expect(() => verifyAnchorResponse(answer, call, { logKeys: [vkey] })).toThrow(/log index is malformed/);
  });

  test('an endpoint is a port of a name, a target with a scheme, a socket, or TLS', async () => {
    const socket = `unix:${join(directory, 'notary.sock')}`;
    const onSocket = await startNotary({
      databaseUrl: database.databaseUrl,
      seed: notary.seed,
      listen: socket,
    });
    ends.push(() => onSocket.stop());
    const overTls = await startNotary({
      databaseUrl: database.databaseUrl,
      seed: notary.seed,
      tlsCredentials: ServerCredentials.createSsl(null, [{ cert_chain: certificate, private_key: key }]),
    });
    ends.push(() => overTls.stop());
    const trusting = ChannelCredentials.createSsl(certificate);
    for (const link of [
      linkTo(`localhost:${notary.port}`),
      linkTo(`dns:///localhost:${notary.port}`),
      linkTo(`ipv4:127.0.0.1:${notary.port}`),
      linkTo(socket),
      linkTo(`localhost:${overTls.port}`, trusting),
    ]) {
      expect((await anchor(link)).leafCount).toBe(3);
      link.drop();
      expect((await anchor(link)).leafCount).toBe(3);
    }
    const distrusting = linkTo(`localhost:${overTls.port}`, ChannelCredentials.createSsl());
    expect(await failing(anchor(distrusting))).toMatchObject({ code: 'UNAVAILABLE' });
    expect(await failing(anchor(linkTo(`localhost:${overTls.port}`)))).toMatchObject({ code: 'UNAVAILABLE' });
  });
});

describe('a link', () => {
  let lookups: string[];
  let address: string;
  beforeEach(() => {
    lookups = [];
    address = '127.0.0.1';
    const lookup = dns.promises.lookup;
    jest.spyOn(dns.promises, 'lookup').mockImplementation((async (name: string, options: object) => {
      if (name !== 'notary.test') return lookup(name, options);
      lookups.push(name);
      return [{ address, family: 4 }];
    }) as unknown as typeof dns.promises.lookup);
  });
  afterEach(() => {
    jest.restoreAllMocks();
  });

  // Red when the constructor connects.
  test('neither looks up nor connects before the first call, and needs no notary until then', async () => {
    const listener = await listening(notary.port);
    const links = ['notary.test', 'dns:///notary.test'].map((name) => linkTo(`${name}:${listener.port}`));
    linkTo(`notary.test:${listener.port}`).drop();
    linkTo(`notary.test:${listener.port}`).close();
    // A link that is made and called afterwards has connected: so would have the others.
    await anchor(linkTo(`127.0.0.1:${listener.port}`));
    expect({ lookups, connections: listener.connections }).toEqual({ lookups: [], connections: 1 });
    for (const link of links) await anchor(link);
    expect({ lookups: lookups.length, connections: listener.connections }).toEqual({
      lookups: 2,
      connections: 3,
    });
  });

  test('keeps its connection from call to call', async () => {
    const listener = await listening(notary.port);
    const link = linkTo(`notary.test:${listener.port}`);
    for (let i = 0; i < 3; i++) await anchor(link);
    expect({ lookups: lookups.length, connections: listener.connections }).toEqual({
      lookups: 1,
      connections: 1,
    });
  });

  test('fails at once while nobody is there, and works once somebody is', async () => {
    const listener = await listen(notary.port);
    const { port } = listener;
    await listener.close();
    const link = linkTo(`127.0.0.1:${port}`);
    const { code, afterMs } = await failing(anchor(link));
    expect(code).toBe('UNAVAILABLE');
    expect(afterMs).toBeLessThan(5_000);
    await listening(notary.port, '127.0.0.1', port);
    link.drop();
    expect((await anchor(link)).leafCount).toBe(3);
  });

  // Red without the look-up that a new channel makes, and without connections of its own: `drop` would find the old ones.
  test('that is dropped looks the name up again and connects there', async () => {
    const before = await listening(notary.port);
    const after = await listening(notary.port, '127.0.0.2', before.port);
    const link = linkTo(`notary.test:${before.port}`);
    await anchor(link);
    address = '127.0.0.2';
    await anchor(link);
    expect([before.connections, after.connections]).toEqual([1, 0]);
    link.drop();
    await anchor(link);
    expect([before.connections, after.connections]).toEqual([1, 1]);
    expect(lookups).toHaveLength(2);
  });

  test('that is dropped twice, or before its first call, is as good as new', async () => {
    const link = linkTo(notary.address);
    link.drop();
    await anchor(link);
    link.drop();
    link.drop();
    await anchor(link);
  });

  test('ends a call by its deadline where somebody accepts and says nothing', async () => {
    const silent = await listening();
    const link = linkTo(`127.0.0.1:${silent.port}`);
    const { code, afterMs } = await failing(link.createAnchor(callOf(), within(300)));
    expect(code).toBe('DEADLINE_EXCEEDED');
    expect(afterMs).toBeGreaterThan(250);
    expect(afterMs).toBeLessThan(5_000);
  });

  test('ends a call by its deadline where a connection went dead, dropped or not', async () => {
    const proxy = await startTcpProxy(new URL(`tcp://${notary.address}`));
    ends.push(() => proxy.close());
    const link = linkTo(`127.0.0.1:${proxy.port}`);
    await anchor(link);
    proxy.freeze();
    const stuck = [failing(anchor(link, 700)), failing(anchor(link, 700))];
    await new Promise((resolve) => setImmediate(resolve));
    link.drop();
    // Meanwhile there is a new connection, which the dead one does not hold up.
    expect((await anchor(link)).leafCount).toBe(3);
    for (const { code, afterMs } of await Promise.all(stuck)) {
      expect(code).toBe('DEADLINE_EXCEEDED');
      expect(afterMs).toBeLessThan(5_000);
    }
  });

  // Red without connections of its own: the other link holds on to the dead one, and it would be given it again.
  test('shares no connection with another link', async () => {
    const proxy = await startTcpProxy(new URL(`tcp://${notary.address}`));
    ends.push(() => proxy.close());
    const [link, other] = [linkTo(`127.0.0.1:${proxy.port}`), linkTo(`127.0.0.1:${proxy.port}`)];
    await anchor(link);
    await anchor(other);
    proxy.freeze();
    link.drop();
    expect((await anchor(link, 5_000)).leafCount).toBe(3);
  });

  // Red when the deadline is passed on as it is.
  test.each([2 ** 31 - 1, 2 ** 31, 2 ** 40, Number.POSITIVE_INFINITY])(
    'takes a deadline that is further away than timers reach: %d ms',
    async (timeoutMs) => {
      expect((await anchor(linkTo(notary.address), timeoutMs)).leafCount).toBe(3);
    },
  );

  test('cancels the call whose signal aborts, and no other', async () => {
    const silent = await listening();
    const link = linkTo(`127.0.0.1:${silent.port}`);
    const [one, other] = [new AbortController(), new AbortController()];
    const calls = [one, other].map(({ signal }) =>
      failing(link.createAnchor(callOf(), within(60_000, signal))),
    );
    await silent.connected(1);
    one.abort();
    expect(await calls[0]).toMatchObject({ code: 'CANCELLED' });
    other.abort();
    expect(await calls[1]).toMatchObject({ code: 'CANCELLED' });
    expect(await failing(link.createAnchor(callOf(), within(60_000, one.signal)))).toMatchObject({
      code: 'CANCELLED',
    });
    expect(silent.connections).toBe(1);
  });

  // Red when `close` only closes the channel: its calls would go on until their deadline.
  test('that is closed cancels what is in flight, also on channels that it dropped, and stays closed', async () => {
    const edge = await startEdge({ createAnchor: () => new Promise(() => {}) });
    ends.push(() => edge.stop());
    const link = linkTo(edge.address);
    const first = failing(link.createAnchor(callOf(), within(60_000)));
    while (edge.fake.submissions.length < 1) await new Promise((resolve) => setImmediate(resolve));
    link.drop();
    const second = failing(link.createAnchor(callOf(), within(60_000)));
    while (edge.fake.submissions.length < 2) await new Promise((resolve) => setImmediate(resolve));
    link.close();
    for (const { code, afterMs } of await Promise.all([first, second])) {
      expect(code).toBe('CANCELLED');
      expect(afterMs).toBeLessThan(10_000);
    }
    const later = link.createAnchor(callOf(), within(60_000));
    expect(await failing(later)).toMatchObject({ code: 'CANCELLED' });
    expect(await later.catch(judge)).toMatchObject({ kind: 'retry', status: 'CANCELLED' });
  });
});
