import { Writable } from 'node:stream';
import type { ServiceError } from '@grpc/grpc-js';
import { status } from '@grpc/grpc-js';
import { pino } from 'pino';
import { QuartermasterNotary } from '#gen/quartermaster/v1/notary_pb.js';
import { QuartermasterRegistry } from '#gen/quartermaster/v1/registry_pb.js';
import { createClient } from '../../src/rpc/client.ts';
import type { StatusDetails } from '../../src/rpc/status-details.ts';
import { STATUS_DETAILS, statusDetails } from '../../src/rpc/status-details.ts';
import type { NotaryServerOptions } from '../../src/server/index.ts';
import { createNotaryServer } from '../../src/server/index.ts';
import type { Overrides } from './fake-notary.ts';
import { FakeNotary } from './fake-notary.ts';

/** A real server on loopback before a fake notary, with a real client. */
export async function startEdge(overrides: Overrides = {}, options: Partial<NotaryServerOptions> = {}) {
  const fake = new FakeNotary(overrides);
  const log = new LogLines();
  const server = createNotaryServer({
    notary: fake,
    registry: fake,
    logger: pino({ base: null }, log.stream),
    ...options,
  });
  const { address, port } = await server.listen('127.0.0.1:0');
  const notary = createClient(QuartermasterNotary, address);
  const registry = createClient(QuartermasterRegistry, address);
  return {
    fake,
    log,
    server,
    address,
    port,
    notary,
    registry,
    async stop() {
      notary.close();
      registry.close();
      await server.shutdown(0);
    },
  };
}

export type Edge = Awaited<ReturnType<typeof startEdge>>;

export interface LogLine {
  readonly msg: string;
  readonly level: number;
  readonly requestId: string;
  readonly method: string;
  readonly code: string;
  readonly [key: string]: unknown;
}

/** What was logged, and a way to wait for more of it. */
export class LogLines {
  readonly lines: LogLine[] = [];
  #wake: (() => void)[] = [];

  readonly stream = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      this.lines.push(JSON.parse(chunk.toString()));
      for (const wake of this.#wake.splice(0)) wake();
      done();
    },
  });

  /** The first line that fits, once there is one. */
  async find(fits: (line: LogLine) => boolean): Promise<LogLine> {
    for (;;) {
      const line = this.lines.find(fits);
      if (line !== undefined) return line;
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }
}

export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly details: StatusDetails | undefined;
  readonly detailsBytes: number;
}

/** How a call failed. A call that succeeds fails the test. */
export async function failure(call: Promise<unknown>): Promise<Failure> {
  try {
    await call;
  } catch (error) {
    const { code, details: message, metadata } = error as ServiceError;
    return {
      code: status[code],
      message,
      details: statusDetails(error),
      detailsBytes: (metadata.get(STATUS_DETAILS)[0] as Buffer | undefined)?.byteLength ?? 0,
    };
  }
  throw new Error('the call succeeded');
}

/** Resolves once the condition holds, asked again after each turn of the event loop. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

/** `count` different leaves. */
export function leaves(count: number): Uint8Array<ArrayBuffer>[] {
  return Array.from({ length: count }, (_, index) => {
    const leaf = new Uint8Array(32);
    new DataView(leaf.buffer).setUint32(0, index);
    return leaf;
  });
}
