// Parsers of single values: text in, typed value out, or an error that says what is expected. They do not repeat the text;
// whoever reports a mistake decides whether the value may be shown.

import { ED25519, NoteError, parseVkey } from '../../note/index.ts';

export class ValueError extends Error {
  override readonly name = 'ValueError';
}

export type ParseValue<T> = (text: string) => T;

export interface Address {
  readonly host: string;
  /** 0: any free one */
  readonly port: number;
}

/** `host:port`, `[ipv6]:port`, or `:port` for all addresses. */
export function parseAddress(text: string): Address {
  const match = /^(?:\[([0-9a-fA-F:.%]+)\]|([^\s:[\]/]*)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) {
    throw new ValueError('expected host:port, such as 127.0.0.1:50051 or [::1]:50051');
  }
  return { host: match[1] ?? (match[2] || '0.0.0.0'), port };
}

export function formatAddress({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** As for `parseAddress`, or `unix:/path`. @returns as gRPC takes it */
export function parseListenAddress(text: string): string {
  if (/^unix:[^\0]+$/.test(text)) return text;
  try {
    return formatAddress(parseAddress(text));
  } catch (cause) {
    throw new ValueError('expected unix:/path or host:port, such as 127.0.0.1:50052', { cause });
  }
}

/** Verifier keys of logs, apart by blanks, commas or newlines, which no key holds. */
export function parseLogKeys(text: string): readonly string[] {
  const keys = text.split(/[\s,]+/).filter((key) => key !== '');
  for (const key of keys) {
    try {
      if (parseVkey(key).type === ED25519) continue;
    } catch (cause) {
      if (!(cause instanceof NoteError)) throw cause;
      throw new ValueError(`expected verifier keys: ${cause.message}`, { cause });
    }
    throw new ValueError('expected keys of logs (Ed25519, type 1)');
  }
  return keys;
}

export function integerBetween(least: number, most: number): ParseValue<number> {
  return (text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= least && value <= most)) {
      throw new ValueError(`expected an integer from ${least} to ${most}`);
    }
    return value;
  };
}

const BYTES_IN = { '': 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 } as const;

/** A number of bytes: `41943040`, `40960KiB`, `40MiB`, `1GiB`. */
export function bytesBetween(least: string, most: string): ParseValue<number> {
  const [leastBytes, mostBytes] = [parseBytes(least), parseBytes(most)];
  return (text) => {
    const bytes = parseBytes(text);
    if (!(bytes >= leastBytes && bytes <= mostBytes)) {
      throw new ValueError(`expected a size from ${least} to ${most}, such as 40MiB`);
    }
    return bytes;
  };
}

function parseBytes(text: string): number {
  const match = /^(\d{1,15})(KiB|MiB|GiB|)$/.exec(text);
  return match === null ? Number.NaN : Number(match[1]) * BYTES_IN[match[2] as keyof typeof BYTES_IN];
}

const MS_IN = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 } as const;

/** A time in milliseconds: `500ms`, `30s`, `5m`, `1h`. */
export function durationBetween(least: string, most: string): ParseValue<number> {
  const [leastMs, mostMs] = [parseDuration(least), parseDuration(most)];
  return (text) => {
    const ms = parseDuration(text);
    if (!(ms >= leastMs && ms <= mostMs)) {
      throw new ValueError(
        `expected a time from ${least} to ${most} with its unit, such as 500ms, 30s, 5m or 1h`,
      );
    }
    return ms;
  };
}

function parseDuration(text: string): number {
  const match = /^(\d{1,9})(ms|s|m|h)$/.exec(text);
  return match === null ? Number.NaN : Number(match[1]) * MS_IN[match[2] as keyof typeof MS_IN];
}

export function parseBoolean(text: string): boolean {
  if (text !== 'true' && text !== 'false') throw new ValueError('expected true or false');
  return text === 'true';
}

export function oneOf<const T extends string>(choices: readonly T[]): ParseValue<T> {
  return (text) => {
    const found = choices.find((choice) => choice === text);
    if (found === undefined) throw new ValueError(`expected one of ${choices.join(', ')}`);
    return found;
  };
}

export function parsePath(text: string): string {
  if (text === '' || text.includes('\0')) throw new ValueError('expected the path of a file');
  return text;
}

/** A name of Postgres (NAMEDATALEN is 64), without the characters that nobody wants to quote. */
export function parseRole(text: string): string {
  if (!/^[A-Za-z_][A-Za-z0-9_-]{0,62}$/.test(text))
    throw new ValueError('expected the name of a Postgres role');
  return text;
}

export function parsePostgresUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^postgres(ql)?:$/.test(url.protocol)) {
    throw new ValueError('expected a URL such as postgres://user:password@host:5432/database');
  }
  return text;
}

const SEED_BYTES = 32;

/** 32 bytes as 64 hex digits or as standard base64. */
export function parseSeed(text: string): Uint8Array {
  const trimmed = text.trim();
  if (/^[0-9a-fA-F]{64}$/.test(trimmed)) return new Uint8Array(Buffer.from(trimmed, 'hex'));
  if (/^[A-Za-z0-9+/]{43}=$/.test(trimmed)) {
    const bytes = new Uint8Array(Buffer.from(trimmed, 'base64'));
    if (bytes.length === SEED_BYTES) return bytes;
  }
  throw new ValueError(
    `expected ${SEED_BYTES} bytes as 64 hex digits or as 44 characters of base64 (quartermaster key generate makes one)`,
  );
}
