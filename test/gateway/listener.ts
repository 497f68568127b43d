import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** A place on loopback that counts who comes, and leads to a server, or is silent. */
export interface Listener {
  readonly host: string;
  readonly port: number;
  /** how often somebody connected */
  readonly connections: number;
  /** Resolves when somebody has connected so often. */
  connected(times: number): Promise<void>;
  close(): Promise<void>;
}

/**
 * @param target port on 127.0.0.1; without one, connections are accepted and nothing is ever said
 * @param port default: a free one
 */
export async function listen(target?: number, host = '127.0.0.1', port = 0): Promise<Listener> {
  const sockets = new Set<Socket>();
  const waiting: { readonly times: number; readonly resolve: () => void }[] = [];
  let connections = 0;
  const server = createServer((near) => {
    connections += 1;
    for (const { times, resolve } of waiting) if (connections >= times) resolve();
    const pair = target === undefined ? [near] : [near, connect(target, '127.0.0.1')];
    for (const [index, socket] of pair.entries()) {
      const other = pair[1 - index];
      sockets.add(socket);
      socket.on('error', () => {}); // 'close' follows
      socket.on('close', () => {
        sockets.delete(socket);
        other?.destroy();
      });
      if (other === undefined) socket.resume();
      else socket.pipe(other);
    }
  });
  server.listen(port, host);
  await once(server, 'listening');
  return {
    host,
    port: (server.address() as AddressInfo).port,
    get connections() {
      return connections;
    },
    connected: (times) =>
      new Promise((resolve) => {
        if (connections >= times) resolve();
        else waiting.push({ times, resolve });
      }),
    async close() {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, 'close');
    },
  };
}
