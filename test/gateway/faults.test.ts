import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { createGateway } from '../../src/gateway/create-gateway.ts';
import type { Gateway } from '../../src/gateway/gateway.ts';
import type { GatewayOptions } from '../../src/gateway/options.ts';
import { CarefulCaller, vkeyOf } from '../integration/careful-caller.ts';
import { type NotaryUnderTest, startNotary } from '../integration/notary-under-test.ts';
import { type ServerProcess, startServerProcess } from '../integration/server-process.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';
import { FaultProxy, type Side } from '../support/fault-proxy.ts';
import { eventually } from '../support/postgres-waits.ts';
import { readLog } from './notary-log.ts';
import { leafOf, numbersOf, silentLog } from './outbox-contract.ts';

const ATTEMPT_TIMEOUT_MS = 400;
/** Longer than a gateway needs to try several times. */
const OUTAGE_MS = 600;

let database: TestDatabase;
let server: NotaryUnderTest;
beforeAll(async () => {
  database = await openTestDatabase();
  server = await startNotary({ databaseUrl: database.databaseUrl });
});
afterAll(async () => {
  await server.stop();
  await database.close();
});

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

/** A gateway that reaches a notary through a proxy, and somebody who submits to it all the time. */
class Stage {
  readonly proxy: FaultProxy;
  readonly #gateway: Gateway;
  readonly #caller: CarefulCaller;
  readonly #server: NotaryUnderTest | ServerProcess;
  /** `away` and `back`, as they came */
  readonly events: string[] = [];
  #submitted = 0;
  #isLoaded = true;
  #loading: Promise<void> = Promise.resolve();

  private constructor(
    proxy: FaultProxy,
    caller: CarefulCaller,
    options: Partial<GatewayOptions>,
    to: NotaryUnderTest | ServerProcess,
  ) {
    this.proxy = proxy;
    this.#caller = caller;
    this.#server = to;
    this.#gateway = createGateway({
      endpoint: `127.0.0.1:${proxy.port}`,
      clusterId: caller.clusterId,
      verification: { keys: caller.policy.logKeys as readonly string[] },
      batch: { maxLeaves: 500, flushIntervalMs: 10 },
      retry: { minDelayMs: 10, maxDelayMs: 80, attemptTimeoutMs: ATTEMPT_TIMEOUT_MS },
      logger: silentLog,
      ...options,
    });
    this.#gateway.on('away', () => this.events.push('away')).on('back', () => this.events.push('back'));
    this.#gateway.on('alarm', ({ code }) => this.events.push(`alarm ${code}`));
    this.#gateway.on('deadLetter', ({ refusal }) => this.events.push(`dead letter ${refusal.status}`));
  }

  static async open(
    options: Partial<GatewayOptions> = {},
    to: NotaryUnderTest | ServerProcess = server,
  ): Promise<Stage> {
    const proxy = new FaultProxy(Number(to.address.split(':')[1]));
    await proxy.listen(0);
    const { clusterId } = await CarefulCaller.ofNewCluster(to, to.seed);
    const caller = new CarefulCaller(clusterId, { logKeys: [await vkeyOf(to.seed, clusterId)] });
    const stage = new Stage(proxy, caller, options, to);
    cleanups.push(async () => {
      stage.#isLoaded = false;
      await stage.#loading;
      await stage.#gateway.close({ timeoutMs: 1 });
      await proxy.close();
    });
    await stage.#gateway.ready;
    stage.#loading = stage.#load();
    return stage;
  }

  /** Resolves when the gateway has anchored what it had been given by now. */
  async caughtUp(): Promise<void> {
    const target = this.#submitted;
    await eventually(async () => {
      const { anchoredLeaves } = await this.#gateway.stats();
      return anchoredLeaves >= target ? true : undefined;
    });
  }

  async told(event: string): Promise<void> {
    await eventually(async () => (this.events.at(-1) === event ? true : undefined));
  }

  /** Every leaf is in the log once, in the order of submission, under as many request_ids as anchors. */
  async expectAllAnchoredOnceInOrder(): Promise<void> {
    expect(await this.#anchoredInTheEnd()).toEqual(Array.from({ length: this.#submitted }, (_, n) => n));
  }

  /** The same where several batches are in flight, and may overtake one another. */
  async expectAllAnchoredOnce(): Promise<void> {
    const numbers = await this.#anchoredInTheEnd();
    expect(numbers.sort((a, b) => a - b)).toEqual(Array.from({ length: this.#submitted }, (_, n) => n));
  }

  /** Ends the load. @returns the numbers of the leaves in the log, in its order */
  async #anchoredInTheEnd(): Promise<number[]> {
    this.#isLoaded = false;
    await this.#loading;
    expect(await this.#gateway.flush({ timeoutMs: 20_000 })).toMatchObject({ leaves: 0 });
    const log = await readLog(this.#server.notary, this.#caller.clusterId);
    expect(this.#submitted).toBeGreaterThan(20);
    expect(new Set(log.map(({ requestId }) => requestId)).size).toBe(log.length);
    return log.flatMap(({ leaves }) => numbersOf(new Uint8Array(Buffer.from(leaves.join(''), 'hex'))));
  }

  async #load(): Promise<void> {
    for (; this.#isLoaded; await delay(3)) {
      for (let i = 0; i < 20; i++) {
        let isTaken = false;
        const submit = this.#gateway.submit(leafOf(this.#submitted++)).then(() => {
          isTaken = true;
        });
        // Before anything can have come from the network.
        await new Promise((resolve) => process.nextTick(resolve));
        await Promise.resolve();
        if (!isTaken) throw new Error('a submit waited');
        await submit;
      }
    }
  }
}

// Each with a gateway that is told nothing, under load. Red, here or there, when
// - the link does not let go of its connection (`drop`): one that fell silent is used for ever
// - a retry has a new request_id: leaves are anchored twice
// - calls have no deadline: what fell silent is waited for for ever
// - `away` is told for each try
// - `submit` waits for anything that is not there yet.
describe('between a gateway and its notary', () => {
  test('connections that are cut and refused for a while: one away, one back', async () => {
    const stage = await Stage.open();
    await stage.caughtUp();
    const { port } = stage.proxy;
    for (let outage = 1; outage <= 2; outage++) {
      await stage.proxy.close();
      await stage.told('away');
      await delay(OUTAGE_MS);
      await stage.proxy.listen(port);
      await stage.caughtUp();
      expect(stage.events).toEqual(Array(outage).fill(['away', 'back']).flat());
    }
    await stage.expectAllAnchoredOnceInOrder();
  });

  test('a notary that is not there at first: one away, one back', async () => {
    const stage = await Stage.open();
    const { port } = stage.proxy;
    await stage.proxy.close();
    await stage.told('away');
    await delay(OUTAGE_MS);
    await stage.proxy.listen(port);
    await stage.caughtUp();
    expect(stage.events.filter((event) => event === 'away')).toHaveLength(1);
    expect(stage.events.at(-1)).toBe('back');
    await stage.expectAllAnchoredOnceInOrder();
  });

  test('delays of everything in both directions are no outage', async () => {
    const stage = await Stage.open();
    stage.proxy.delayMs = 60;
    await stage.caughtUp();
    stage.proxy.delayMs = 20;
    await stage.caughtUp();
    expect(stage.events).toEqual([]);
    await stage.expectAllAnchoredOnceInOrder();
  });

  test('a peer that accepts and says nothing: one away, one back, on a new connection', async () => {
    const stage = await Stage.open();
    await stage.caughtUp();
    stage.proxy.fallSilent();
    await stage.told('away');
    await delay(OUTAGE_MS);
    stage.proxy.speakAgain();
    await stage.caughtUp();
    expect(stage.events).toEqual(['away', 'back']);
    await stage.expectAllAnchoredOnceInOrder();
  });

  test('a connection that is cut in the middle of a request', async () => {
    const stage = await Stage.open();
    for (let outage = 1; outage <= 3; outage++) {
      await stage.proxy.stopInRequest(outage * 300);
      stage.proxy.cut();
      await stage.told('back');
      await stage.caughtUp();
      expect(stage.events).toEqual(Array(outage).fill(['away', 'back']).flat());
    }
    await stage.expectAllAnchoredOnceInOrder();
  });

  const cuts: [Side, number][] = [
    ...[1, 24, 60, 200, 700, 3_000, 9_000].map((bytes): [Side, number] => ['server', bytes]),
    ...[1, 9, 40, 150, 500, 1_500, 4_000].map((bytes): [Side, number] => ['client', bytes]),
  ];
  test('connections that are reset after so many bytes in either direction', async () => {
    const stage = await Stage.open();
    for (const [towards, bytes] of cuts) {
      await stage.proxy.resetAfter(towards, bytes);
      await stage.caughtUp();
    }
    // The gateway may have caught up before it saw the last of them.
    await stage.told('back');
    // A reset between two calls is an outage for nobody.
    expect(stage.events).toEqual(
      Array(stage.events.length / 2)
        .fill(['away', 'back'])
        .flat(),
    );
    expect(stage.events.length / 2).toBeGreaterThan(cuts.length / 2);
    expect(stage.events.length / 2).toBeLessThanOrEqual(cuts.length);
    await stage.expectAllAnchoredOnceInOrder();
  });

  test.each([
    ['is cut', (proxy: FaultProxy) => proxy.cut()],
    ['says nothing more', () => {}],
  ])(
    'an answer that is lost after the commit, on a connection that %s: the anchor is found again',
    async (_, end) => {
      const stage = await Stage.open();
      for (let outage = 1; outage <= 3; outage++) {
        await stage.proxy.stopBeforeAnswer();
        end(stage.proxy);
        await stage.told('back');
        await stage.caughtUp();
        expect(stage.events).toEqual(Array(outage).fill(['away', 'back']).flat());
      }
      await stage.expectAllAnchoredOnceInOrder();
    },
  );

  test('several batches in flight: all of the above at once, each leaf still in one anchor', async () => {
    const stage = await Stage.open({ batch: { maxLeaves: 30, flushIntervalMs: 5, inFlight: 8 } });
    for (let round = 0; round < 4; round++) {
      await stage.proxy.stopBeforeAnswer();
      stage.proxy.cut();
      await stage.proxy.resetAfter('client', 700);
      stage.proxy.fallSilent();
      await stage.told('away');
      stage.proxy.speakAgain();
      await stage.caughtUp();
    }
    await stage.expectAllAnchoredOnce();
  });

  test('a notary whose process is stopped, and goes on later: what it answers too late is found again', async () => {
    const stopped = await startServerProcess({ databaseUrl: database.databaseUrl });
    cleanups.push(() => stopped.kill('SIGKILL'));
    const stage = await Stage.open({}, stopped);
    await stage.caughtUp();
    process.kill(stopped.pid, 'SIGSTOP');
    await stage.told('away');
    await delay(OUTAGE_MS);
    process.kill(stopped.pid, 'SIGCONT');
    await stage.caughtUp();
    expect(stage.events).toEqual(['away', 'back']);
    await stage.expectAllAnchoredOnceInOrder();
  });
});
