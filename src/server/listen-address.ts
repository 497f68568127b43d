import { isIP } from 'node:net';

export type ListenAddress =
  | { readonly ok: true; readonly loopback: boolean }
  | { readonly ok: false; readonly explanation: string };

/**
 * Judges an address to listen on, before anything is opened: without TLS whoever is on the path could read and change every
 * call, so that only this machine may call.
 *
 * @param listen `host:port`, `[ipv6]:port` or `unix:/path`; port 0 for any free one.
 */
export function checkListenAddress(
  listen: string,
  options: { readonly tls: boolean; readonly allowInsecure: boolean },
): ListenAddress {
  if (/^unix:.+/.test(listen)) return { ok: true, loopback: true };
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(listen) ?? [];
  const host = bracketed ?? plain;
  if (host === undefined || Number(port) > 65_535 || (bracketed !== undefined && isIP(bracketed) !== 6)) {
    return {
      ok: false,
      explanation: `cannot listen on "${listen}": expected host:port, [ipv6]:port or unix:/path`,
    };
  }
  const loopback = isLoopback(host);
  if (loopback || options.tls || options.allowInsecure) return { ok: true, loopback };
  return {
    ok: false,
    explanation:
      `refusing to listen on "${listen}" without TLS: it can be reached from other machines, and whoever is on the way ` +
      'could read and change every call. Configure TLS, listen on 127.0.0.1, or, where something in front ends TLS or ' +
      'the network is trusted, allow insecure listening explicitly',
  };
}

function isLoopback(host: string): boolean {
  switch (isIP(host)) {
    case 4:
      return host.startsWith('127.');
    case 6:
      return /^(?:::1|(?:0{1,4}:){7}0{0,3}1|::ffff:127\.[\d.]+)$/i.test(host);
    default:
      return host.toLowerCase() === 'localhost';
  }
}
