import { setTimeout as delay } from 'node:timers/promises';
import { type ServerProcess, startServerProcess } from '../integration/server-process.ts';
import { FaultProxy } from '../support/fault-proxy.ts';
import { eventually } from '../support/postgres-waits.ts';
import { reservePort } from '../support/reserve-port.ts';
import type { NotaryPlan } from './plan.ts';

/** Every batch of several leaves is too big. */
const SMALL_LEAF_COUNT = 1;

export interface NotaryProcessOptions {
  readonly databaseUrl: string;
  readonly seed: Uint8Array;
  /** For what Node.js compiles: processes start in half of the time. */
  readonly compileCache: string;
}

/** `quartermaster serve` behind a proxy, on addresses that stay: killed, silenced, started again. */
export class NotaryProcess {
  readonly seed: Uint8Array;
  readonly proxy: FaultProxy;
  readonly #options: NotaryProcessOptions;
  readonly #serverPort: number;
  readonly #proxyPort: number;
  #server: ServerProcess | undefined;
  #isSmall = false;

  private constructor(options: NotaryProcessOptions, serverPort: number, proxyPort: number) {
    this.seed = options.seed;
    this.#options = options;
    this.#serverPort = serverPort;
    this.#proxyPort = proxyPort;
    this.proxy = new FaultProxy(serverPort);
  }

  static async start(options: NotaryProcessOptions): Promise<NotaryProcess> {
    const notary = new NotaryProcess(options, await reservePort(), await reservePort());
    await notary.proxy.listen(notary.#proxyPort);
    await notary.serve();
    return notary;
  }

  /** Where gateways find it. */
  get endpoint(): string {
    return `127.0.0.1:${this.#proxyPort}`;
  }

  /** For those who are no gateways: not through the proxy. */
  get clients(): ServerProcess {
    if (this.#server === undefined) throw new Error('the notary is not there');
    return this.#server;
  }

  /** Does nothing where it serves already, as it should. */
  async serve(isSmall = false): Promise<void> {
    if (this.#server !== undefined && this.#isSmall === isSmall) return;
    await this.kill();
    this.#isSmall = isSmall;
    const limits = isSmall ? { QUARTERMASTER_MAX_LEAF_COUNT: String(SMALL_LEAF_COUNT) } : {};
    this.#server = await startServerProcess({
      databaseUrl: this.#options.databaseUrl,
      seed: this.seed,
      environment: {
        QUARTERMASTER_LISTEN: `127.0.0.1:${this.#serverPort}`,
        QUARTERMASTER_DATABASE_POOL_SIZE: '3',
        NODE_COMPILE_CACHE: this.#options.compileCache,
        ...limits,
      },
    });
  }

  async kill(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    await server?.kill('SIGKILL');
  }

  /** Nothing is wrong any more. */
  async heal(): Promise<void> {
    this.proxy.disarm();
    this.proxy.delayMs = 0;
    this.proxy.speakAgain();
    if (!this.proxy.isListening) await this.proxy.listen(this.#proxyPort);
    await this.serve();
  }

  async close(): Promise<void> {
    await this.kill();
    await this.proxy.close();
  }
}

/** What goes wrong with a notary while applications live and die. */
export class Trouble {
  readonly #notary: NotaryProcess;
  readonly #plan: NotaryPlan;
  readonly #ending = new AbortController();
  #coming: Promise<void> = Promise.resolve();
  #livesLeft: number;
  /** times that something took effect */
  strokes = 0;

  constructor(notary: NotaryProcess, plan: NotaryPlan) {
    this.#notary = notary;
    this.#plan = plan;
    this.#livesLeft = plan.kind === 'down' ? plan.lives : 0;
  }

  async begin(): Promise<void> {
    const { proxy } = this.#notary;
    switch (this.#plan.kind) {
      case 'down':
        this.strokes++;
        await proxy.close();
        break;
      case 'slow':
        this.strokes++;
        proxy.delayMs = this.#plan.delayMs;
        break;
      case 'small':
        this.strokes++;
        await this.#notary.serve(true);
        break;
      case 'killed':
        this.#coming = this.#again(async () => {
          await this.#pause(250);
          await this.#killed();
        });
        break;
      case 'killed-after-commit':
        this.#coming = this.#again(async () => {
          await this.#unlessEnded(proxy.stopBeforeAnswer());
          if (!this.#isEnding) await this.#killed();
        });
        break;
      case 'silent':
        this.#coming = this.#again(async () => {
          await this.#pause(500);
          if (this.#isEnding) return;
          proxy.fallSilent();
          this.strokes++;
          await this.#pause(300);
          proxy.speakAgain();
        });
        break;
      default:
    }
  }

  /** Before each life but the first: a notary that was down comes up in time for one of them. */
  async beforeLife(): Promise<void> {
    if (this.#plan.kind === 'down' && --this.#livesLeft === 0) await this.#notary.heal();
  }

  /** For an application that lives on: so long, and until it has struck three times or there is nobody left to strike. */
  async whileLiving(application: Promise<unknown>, ms: number): Promise<void> {
    let isOver = false;
    void application.finally(() => {
      isOver = true;
    });
    await delay(ms);
    await eventually(async () => (isOver || this.strokes >= 3 ? true : undefined), 120_000);
    await this.end();
  }

  async end(): Promise<void> {
    this.#ending.abort();
    await this.#coming;
    await this.#notary.heal();
  }

  get #isEnding(): boolean {
    return this.#ending.signal.aborted;
  }

  async #again(strike: () => Promise<void>): Promise<void> {
    while (!this.#isEnding) await strike();
  }

  async #killed(): Promise<void> {
    await this.#notary.kill();
    this.strokes++;
    await this.#notary.serve();
  }

  async #pause(ms: number): Promise<void> {
    await delay(ms, undefined, { signal: this.#ending.signal }).catch(() => {});
  }

  async #unlessEnded(happens: Promise<void>): Promise<void> {
    const { signal } = this.#ending;
    const ended = new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      else signal.addEventListener('abort', () => resolve(), { once: true });
    });
    await Promise.race([happens, ended]);
  }
}
