import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { CommittingStatements } from './committing-statements.ts';

/** What becomes of a statement that commits, and of its connection. */
export type Trick =
  /** It arrives; whoever sent it is cut off at once. */
  | { readonly kind: 'cut-after-sending' }
  /** It is answered, hence committed; whoever sent it is cut off instead of being told. */
  | { readonly kind: 'cut-before-answer' }
  /** The answer and all that follows is lost, and the connection stays as if nothing had happened. */
  | { readonly kind: 'swallow-answer' }
  | { readonly kind: 'delay-answer'; readonly ms: number }
  /** Whoever sent it is cut off at once; it arrives later. */
  | { readonly kind: 'deliver-late'; readonly ms: number };

/** How long Postgres keeps a backend whose client went without a word: its keepalive, in reality. */
const HALF_OPEN_MS = 5_000;

/** TCP between one server and Postgres that can lose, cut and delay. */
export class CuttingProxy {
  readonly #server: Server;
  readonly #links = new Set<Link>();
  readonly #armed: Trick[] = [];
  #target: number;
  #isBlackHole = false;
  /** Tricks that were played. */
  played = 0;
  /** Connections that black holes took. */
  swallowed = 0;

  private constructor(target: number) {
    this.#target = target;
    this.#server = createServer((socket) => this.#accept(socket));
  }

  static async start(target: number): Promise<CuttingProxy> {
    const proxy = new CuttingProxy(target);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Where Postgres is from now on. */
  set target(port: number) {
    this.#target = port;
  }

  /** Plays the trick on the next statements that commit, on whichever connections they come. */
  arm(trick: Trick, statements: number): void {
    this.#armed.push(...Array<Trick>(statements).fill(trick));
  }

  /** Forgets tricks that nobody has met. */
  disarm(): void {
    this.#armed.length = 0;
  }

  /** Until it is lifted nothing moves, on new connections either. Those that there are never move again. */
  blackHole(): void {
    this.#isBlackHole = true;
    for (const link of this.#links) this.#swallow(link);
  }

  liftBlackHole(): void {
    this.#isBlackHole = false;
  }

  async close(): Promise<void> {
    this.#server.close();
    for (const link of this.#links) link.destroy();
    await once(this.#server, 'close');
  }

  #accept(socket: Socket): void {
    const link = new Link(socket, this.#target, () => {
      const trick = this.#armed.shift();
      if (trick !== undefined) this.played++;
      return trick;
    });
    this.#links.add(link);
    link.onClosed = () => this.#links.delete(link);
    if (this.#isBlackHole) this.#swallow(link);
  }

  #swallow(link: Link): void {
    link.silence();
    this.swallowed++;
  }
}

/** One connection through the proxy. */
class Link {
  readonly #client: Socket;
  readonly #upstream: Socket;
  readonly #nextTrick: () => Trick | undefined;
  readonly #statements = new CommittingStatements();
  #trick: Trick | undefined;
  #held: Buffer[] = [];
  /** The client's side is gone by our doing; what it sent may still be under way. */
  #isCut = false;
  #isSilent = false;
  onClosed: () => void = () => {};

  constructor(client: Socket, target: number, nextTrick: () => Trick | undefined) {
    this.#client = client;
    this.#upstream = connect(target, '127.0.0.1');
    this.#nextTrick = nextTrick;
    client.setNoDelay(true);
    this.#upstream.setNoDelay(true);
    client.on('data', (chunk) => this.#fromClient(chunk));
    this.#upstream.on('data', (chunk) => this.#fromPostgres(chunk));
    for (const socket of [client, this.#upstream]) {
      socket.on('error', () => {}); // 'close' follows
      socket.on('close', () => this.#closed(socket));
    }
  }

  /** Nothing moves any more, and neither side is told. */
  silence(): void {
    if (this.#isSilent) return;
    this.#isSilent = true;
    setTimeout(() => this.#upstream.destroy(), HALF_OPEN_MS).unref();
  }

  destroy(): void {
    this.#client.destroy();
    this.#upstream.destroy();
  }

  #fromClient(chunk: Buffer): void {
    if (this.#isSilent || this.#isCut) return;
    const { begins, ends } = this.#statements.feed(chunk);
    if (begins && this.#trick === undefined) this.#trick = this.#nextTrick();
    if (this.#trick?.kind === 'deliver-late') {
      this.#held.push(chunk);
      if (ends) this.#deliverLate(this.#trick.ms);
      return;
    }
    this.#upstream.write(chunk);
    if (ends && this.#trick?.kind === 'cut-after-sending') {
      this.#isCut = true;
      this.#client.resetAndDestroy();
      // After what was written; Postgres finds nobody to answer.
      this.#upstream.end();
    }
  }

  #deliverLate(ms: number): void {
    this.#isCut = true;
    this.#client.resetAndDestroy();
    setTimeout(() => this.#upstream.end(Buffer.concat(this.#held)), ms);
  }

  #fromPostgres(chunk: Buffer): void {
    if (this.#isSilent || this.#isCut) return;
    switch (this.#trick?.kind) {
      case 'cut-before-answer':
        this.#isCut = true;
        this.destroyWithReset();
        return;
      case 'swallow-answer':
        this.silence();
        return;
      case 'delay-answer':
        // In order: whatever comes before the answer is out is delayed as much.
        setTimeout(() => this.#client.write(chunk), this.#trick.ms);
        this.#trickIsOverAfter(this.#trick.ms);
        return;
      default:
        this.#client.write(chunk);
    }
  }

  #trickIsOverAfter(ms: number): void {
    const trick = this.#trick;
    setTimeout(() => {
      if (this.#trick === trick) this.#trick = undefined;
    }, ms);
  }

  destroyWithReset(): void {
    this.#client.resetAndDestroy();
    this.#upstream.destroy();
  }

  #closed(socket: Socket): void {
    const other = socket === this.#client ? this.#upstream : this.#client;
    const isOver = this.#client.destroyed && this.#upstream.destroyed;
    if (isOver) this.onClosed();
    // The end of one side is the end of the other, but where it must not hear of it, or has something left to hear.
    else if (!this.#isSilent && !(this.#isCut && socket === this.#client)) other.destroy();
  }
}
