import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/**
 * An address that leads to one server after another, as a virtual IP or a service does. Who is connected when it moves is cut
 * off; while it leads nowhere, connections are closed as they come.
 */
export class MovingAddress {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #target: number | undefined;

  private constructor(target: number | undefined) {
    this.#target = target;
    this.#server = createServer((socket) => this.#accept(socket));
  }

  /** @param target port on loopback */
  static async open(target?: number): Promise<MovingAddress> {
    const address = new MovingAddress(target);
    address.#server.listen(0, '127.0.0.1');
    await once(address.#server, 'listening');
    return address;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  moveTo(target: number): void {
    this.#target = target;
    this.#cutAll();
  }

  cut(): void {
    this.#target = undefined;
    this.#cutAll();
  }

  async close(): Promise<void> {
    this.#server.close();
    this.#cutAll();
    await once(this.#server, 'close');
  }

  #cutAll(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  #accept(client: Socket): void {
    if (this.#target === undefined) {
      client.destroy();
      return;
    }
    const upstream = connect(this.#target, '127.0.0.1');
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      this.#sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => {}); // 'close' follows
      socket.on('close', () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
  }
}
