import { type Server, ServerCredentials } from '@grpc/grpc-js';

/** For connections that were destroyed to be gone. */
const CUT_OFF_MS = 1_000;

/**
 * Makes a server listen.
 *
 * @param address `host:port`, `[ipv6]:port` or `unix:/path`; port 0 for any free one
 * @param credentials undefined: plain text
 * @returns the address with the port that it has, and the port (0 for a unix socket)
 */
export async function bindServer(
  server: Server,
  address: string,
  credentials: ServerCredentials | undefined,
): Promise<{ readonly address: string; readonly port: number }> {
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(address, credentials ?? ServerCredentials.createInsecure(), (error, bound) => {
      if (error === null) resolve(bound);
      else reject(new Error(`cannot listen on "${address}": ${error.message}`, { cause: error }));
    });
  });
  if (address.startsWith('unix:')) return { address, port: 0 };
  return { address: `${address.slice(0, address.lastIndexOf(':'))}:${port}`, port };
}

/** Waits for calls in flight, not for ever. */
export async function closeServer(
  server: Server,
  addresses: readonly string[],
  graceMs: number,
): Promise<void> {
  const graceLeftMs = Math.max(0, graceMs);
  // Destroys the connections that are left after their grace: forceShutdown knows them only where channelz is on. Before
  // tryShutdown, since `drain` forgets connections that are closing already.
  for (const address of addresses) server.drain(address, graceLeftMs);
  let timer: NodeJS.Timeout | undefined;
  await Promise.race([
    new Promise<void>((resolve) => server.tryShutdown(() => resolve())),
    new Promise<void>((resolve) => {
      timer = setTimeout(resolve, graceLeftMs + CUT_OFF_MS);
    }),
  ]);
  clearTimeout(timer);
  server.forceShutdown();
}
