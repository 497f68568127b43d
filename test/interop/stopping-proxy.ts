import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

const LOOPBACK = '127.0.0.1';

/** RFC 9113 section 6. */
const DATA = 0;
const HEADERS = 1;
const FRAME_HEADER_BYTES = 9;
/** The client's first bytes are no frame (RFC 9113 section 3.4). */
const PREFACE_BYTES = 24;

interface Stop {
  readonly towards: 'server' | 'client';
  /** Whether the frame, and all that follow it, must not pass. */
  readonly isReached: (type: number, payloadBytes: number) => boolean;
  readonly reached: () => void;
}

/** Stands between a gateway and a server, and can stop a call at an exact point of it. */
export class StoppingProxy {
  /** How many a client has made so far. */
  connections = 0;
  readonly #serverPort: number;
  readonly #listener: Server;
  readonly #sockets = new Set<Socket>();
  #stop: Stop | undefined;

  constructor(serverPort: number) {
    this.#serverPort = serverPort;
    this.#listener = createServer((client) => this.#join(client));
  }

  /** Until then, and after `close`, connections are refused. */
  async listen(port: number): Promise<void> {
    this.#listener.listen(port, LOOPBACK);
    await once(this.#listener, 'listening');
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    if (!this.#listener.listening) return;
    this.#listener.close();
    await once(this.#listener, 'close');
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

  #stopAt(towards: Stop['towards'], isReached: Stop['isReached']): Promise<void> {
    return new Promise((resolve) => {
      this.#stop = { towards, isReached, reached: resolve };
    });
  }

  #join(client: Socket): void {
    this.connections += 1;
    const server = connect(this.#serverPort, LOOPBACK);
    this.#pass(client, server, 'server', PREFACE_BYTES);
    this.#pass(server, client, 'client', 0);
  }

  #pass(from: Socket, to: Socket, towards: Stop['towards'], preambleBytes: number): void {
    this.#sockets.add(from);
    from.setNoDelay();
    let stopped = false;
    let rest = Buffer.alloc(0);
    let skip = preambleBytes;
    from.on('data', (chunk: Buffer) => {
      rest = Buffer.concat([rest, chunk]);
      for (;;) {
        const length = skip > 0 ? skip : frameLength(rest);
        if (rest.length < length) break;
        const stop = skip > 0 || this.#stop?.towards !== towards ? undefined : this.#stop;
        skip = 0;
        if (stop?.isReached(rest[3]!, length - FRAME_HEADER_BYTES)) {
          stopped = true;
          this.#stop = undefined;
          stop.reached();
        }
        if (!stopped && !to.write(rest.subarray(0, length))) from.pause();
        rest = rest.subarray(length);
      }
    });
    to.on('drain', () => from.resume());
    from.on('error', () => {});
    from.on('close', () => {
      this.#sockets.delete(from);
      // What was written must arrive first.
      to.destroySoon();
    });
  }
}

function frameLength(bytes: Buffer): number {
  const complete = bytes.length >= FRAME_HEADER_BYTES;
  return FRAME_HEADER_BYTES + (complete ? bytes.readUIntBE(0, 3) : 0);
}

/** A free port that nobody gets by chance: below those that the system gives out by itself. */
export async function reservePort(): Promise<number> {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 20_000);
    const listener = createServer();
    const free = await new Promise<boolean>((resolve) => {
      listener.once('error', () => resolve(false)).listen(port, LOOPBACK, () => resolve(true));
    });
    if (!free) continue;
    listener.close();
    await once(listener, 'close');
    return port;
  }
}
