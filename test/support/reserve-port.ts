import { once } from 'node:events';
import { createServer } from 'node:net';

/** A free port that nobody gets by chance: below those that the system gives out by itself. */
export async function reservePort(): Promise<number> {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 20_000);
    const listener = createServer();
    const free = await new Promise<boolean>((resolve) => {
      listener.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true));
    });
    if (!free) continue;
    listener.close();
    await once(listener, 'close');
    return port;
  }
}
