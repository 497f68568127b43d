import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

const LOOPBACK = '127.0.0.1';

/** RFC 9113 section 6. */
const DATA = 0;
const HEADERS = 1;
const FRAME_HEADER_BYTES = 9;
/** The client's first bytes are no frame (RFC 9113 section 3.4). */
const PREFACE_BYTES = 24;

export type Side = 'server' | 'client';

interface Stop {
  readonly towards: Side;
  /** Whether the frame, and all that follow it, must not pass. */
  readonly isReached: (type: number, payloadBytes: number) => boolean;
  readonly reached: () => void;
}

interface Reset {
  readonly towards: Side;
  bytesLeft: number;
  readonly done: () => void;
}

/** Stands between a gateway and a server over HTTP/2: stops a call at an exact point of it, cuts, delays, falls silent. */
export class FaultProxy {
  /** How many a client has made so far. */
  connections = 0;
  /** How much later everything arrives, in order. */
  delayMs = 0;
  readonly #serverPort: number;
  readonly #listener: Server;
  readonly #links = new Set<Link>();
  #isSilent = false;
  #stop: Stop | undefined;
  #reset: Reset | undefined;

  constructor(serverPort: number) {
    this.#serverPort = serverPort;
    this.#listener = createServer((client) => this.#join(client));
  }

  get port(): number {
    return (this.#listener.address() as AddressInfo).port;
  }

  get isListening(): boolean {
    return this.#listener.listening;
  }

  /** Until then, and after `close`, connections are refused. @param port 0 for one of the system's choice */
  async listen(port: number): Promise<void> {
    this.#listener.listen(port, LOOPBACK);
    await once(this.#listener, 'listening');
  }

  async close(): Promise<void> {
    for (const link of this.#links) link.destroy();
    if (!this.#listener.listening) return;
    this.#listener.close();
    await once(this.#listener, 'close');
  }

  /** Resets the connections that are open; new ones work. */
  cut(): void {
    for (const link of this.#links) link.reset();
  }

  /**
   * From now on nothing moves, as when the machine behind vanished or its process was stopped: connections are still accepted,
   * and say nothing.
   */
  fallSilent(): void {
    this.#isSilent = true;
    for (const link of this.#links) link.silence();
  }

  /** New connections work again. Those that fell silent never do: whoever waits on one waits for ever. */
  speakAgain(): void {
    this.#isSilent = false;
  }

  /** Resolves when this many bytes have passed towards that side, on whichever connections, and the last of these was reset. */
  resetAfter(towards: Side, bytes: number): Promise<void> {
    return new Promise((resolve) => {
      this.#reset = { towards, bytesLeft: bytes, done: resolve };
    });
  }

  /** Resolves when the server has got this much of a call's request; it gets no more on that connection. */
  async stopInRequest(payloadBytes: number): Promise<void> {
    let passed = 0;
    await this.#stopAt('server', (type, bytes) => {
      passed += type === DATA ? bytes : 0;
      return passed > payloadBytes;
    });
  }

  /** Resolves when the server answers a call; the client gets nothing of it, nor anything else on that connection. */
  async stopBeforeAnswer(): Promise<void> {
    await this.#stopAt('client', (type) => type === HEADERS);
  }

  /** Forgets what has not happened yet: its promises stay open. */
  disarm(): void {
    this.#stop = undefined;
    this.#reset = undefined;
  }

  #stopAt(towards: Side, isReached: Stop['isReached']): Promise<void> {
    return new Promise((resolve) => {
      this.#stop = { towards, isReached, reached: resolve };
    });
  }

  #join(client: Socket): void {
    this.connections += 1;
    const link = new Link(client, connect(this.#serverPort, LOOPBACK), {
      delayMs: () => this.delayMs,
      isStoppedBy: (towards, type, bytes) => this.#isStoppedBy(towards, type, bytes),
      beforeReset: (towards, bytes) => this.#beforeReset(towards, bytes),
    });
    this.#links.add(link);
    link.onClosed = () => this.#links.delete(link);
    if (this.#isSilent) link.silence();
  }

  #isStoppedBy(towards: Side, type: number, payloadBytes: number): boolean {
    const stop = this.#stop;
    if (stop?.towards !== towards || !stop.isReached(type, payloadBytes)) return false;
    this.#stop = undefined;
    stop.reached();
    return true;
  }

  /** @returns how many of the bytes still pass; undefined where all do */
  #beforeReset(towards: Side, bytes: number): number | undefined {
    const reset = this.#reset;
    if (reset?.towards !== towards) return undefined;
    const passing = reset.bytesLeft;
    reset.bytesLeft -= bytes;
    if (bytes < passing) return undefined;
    this.#reset = undefined;
    reset.done();
    return passing;
  }
}

interface Faults {
  readonly delayMs: () => number;
  readonly isStoppedBy: (towards: Side, type: number, payloadBytes: number) => boolean;
  readonly beforeReset: (towards: Side, bytes: number) => number | undefined;
}

/** One connection through the proxy. */
class Link {
  readonly #client: Socket;
  readonly #server: Socket;
  readonly #faults: Faults;
  #isSilent = false;
  onClosed: () => void = () => {};

  constructor(client: Socket, server: Socket, faults: Faults) {
    this.#client = client;
    this.#server = server;
    this.#faults = faults;
    this.#pass(client, server, 'server', PREFACE_BYTES);
    this.#pass(server, client, 'client', 0);
  }

  silence(): void {
    this.#isSilent = true;
  }

  reset(): void {
    for (const socket of [this.#client, this.#server]) socket.resetAndDestroy();
  }

  destroy(): void {
    for (const socket of [this.#client, this.#server]) socket.destroy();
  }

  #pass(from: Socket, to: Socket, towards: Side, preambleBytes: number): void {
    from.setNoDelay();
    const way = new Way(from, to, this.#faults.delayMs);
    let isStopped = false;
    let rest = Buffer.alloc(0);
    let skip = preambleBytes;
    from.on('data', (chunk: Buffer) => {
      if (this.#isSilent) return;
      rest = Buffer.concat([rest, chunk]);
      for (;;) {
        const length = skip > 0 ? skip : frameLength(rest);
        if (rest.length < length) break;
        const isFrame = skip === 0;
        skip = 0;
        if (isFrame && this.#faults.isStoppedBy(towards, rest[3]!, length - FRAME_HEADER_BYTES))
          isStopped = true;
        if (!isStopped) {
          const passing = this.#faults.beforeReset(towards, length);
          way.write(rest.subarray(0, passing ?? length));
          if (passing !== undefined) {
            this.#isSilent = true;
            way.whenSent(() => this.reset());
            return;
          }
        }
        rest = rest.subarray(length);
      }
    });
    from.on('error', () => {});
    from.on('close', () => {
      // What was written must arrive first.
      way.whenSent(() => to.destroySoon());
      if (this.#client.destroyed && this.#server.destroyed) this.onClosed();
    });
  }
}

/** One direction: whatever is delayed stays in order, and a receiver that is slow slows the sender. */
class Way {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #delayMs: () => number;
  #sending: Promise<void> | undefined;

  constructor(from: Socket, to: Socket, delayMs: () => number) {
    this.#from = from;
    this.#to = to;
    this.#delayMs = delayMs;
    to.on('drain', () => from.resume());
  }

  write(bytes: Buffer): void {
    const delayMs = this.#delayMs();
    if (delayMs === 0 && this.#sending === undefined) {
      this.#send(bytes);
      return;
    }
    const due = Promise.all([delay(delayMs), this.#sending]);
    const sending: Promise<void> = due.then(() => {
      this.#send(bytes);
      if (this.#sending === sending) this.#sending = undefined;
    });
    this.#sending = sending;
  }

  whenSent(run: () => void): void {
    if (this.#sending === undefined) run();
    else void this.#sending.then(run);
  }

  #send(bytes: Buffer): void {
    if (!this.#to.destroyed && !this.#to.write(bytes)) this.#from.pause();
  }
}

function frameLength(bytes: Buffer): number {
  const complete = bytes.length >= FRAME_HEADER_BYTES;
  return FRAME_HEADER_BYTES + (complete ? bytes.readUIntBE(0, 3) : 0);
}
