import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { buildCrate } from './cargo-build.ts';

const CRATE = join(import.meta.dirname, 'rust-gateway');

const LINES_A_WRITE = 10_000;

export interface RustGatewayOptions {
  /** `host:port`; nobody need listen there yet */
  readonly address: string;
  readonly clusterId: string;
  /** Events that make a flush at once. */
  readonly flushSize?: number;
  /** After this time the buffer is flushed, however small; also the pause after a failure. */
  readonly flushIntervalMs?: number;
}

/** What the gateway tells of its calls, in order; `call` counts from 1. */
export type GatewayReport =
  | { readonly kind: 'sending'; readonly call: number; readonly leaves: number }
  | {
      readonly kind: 'anchored';
      readonly call: number;
      readonly leaves: number;
      readonly anchor_id: string;
      readonly leaf_count: number;
    }
  | {
      readonly kind: 'failed';
      readonly call: number;
      readonly leaves: number;
      /** As tonic names it, such as `Unavailable`. */
      readonly code: string;
      readonly message: string;
    };

/** A row of the gateway's own database. */
export interface GatewayRow {
  /** Place of the event among all that were submitted, from 0. */
  readonly event: number;
  /** 64 hex digits */
  readonly leaf: string;
  readonly anchor_id: string;
  readonly leaf_index: number;
}

/**
 * The gateway that exists, as a process: tonic and prost, the API of before this server, its whole buffer in one call, and the
 * leaves back into the buffer on any error.
 *
 * @example
 * const gateway = await RustGateway.start({ address, clusterId });
 * await gateway.submit(packedLeaves);
 * await gateway.told(({ kind }) => kind === 'anchored');
 * const rows = await gateway.finish();
 * await gateway.discard();
 */
export class RustGateway {
  /** Everything told so far. */
  readonly reports: GatewayReport[] = [];
  readonly #child: ChildProcess;
  readonly #directory: string;
  readonly #ended: Promise<string>;
  readonly #listeners = new Set<() => void>();

  private constructor(child: ChildProcess, directory: string) {
    this.#child = child;
    this.#directory = directory;
    let stderr = '';
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    // A gateway that is gone takes no more events; `finish` says why it went.
    child.stdin!.on('error', () => {});
    createInterface({ input: child.stdout! }).on('line', (line) => {
      this.reports.push(JSON.parse(line) as GatewayReport);
      for (const listener of this.#listeners) listener();
    });
    this.#ended = new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) => resolve(code === 0 ? '' : `${code ?? signal}: ${stderr}`));
    });
    // A test that fails half-way must not leave a gateway behind.
    const kill = () => child.kill('SIGKILL');
    process.once('exit', kill);
    child.once('exit', () => process.removeListener('exit', kill));
  }

  /** Builds it where it was not built yet (half a minute). */
  static async start(options: RustGatewayOptions): Promise<RustGateway> {
    const { address, clusterId, flushSize = 1_000, flushIntervalMs = 200 } = options;
    const program = await buildCrate(CRATE, 'rust-gateway');
    const directory = await mkdtemp(join(tmpdir(), 'rust-gateway-'));
    const child = spawn(
      program,
      [`http://${address}`, clusterId, databaseIn(directory), `${flushSize}`, `${flushIntervalMs}`],
      { stdio: ['pipe', 'pipe', 'pipe'] },
    );
    return new RustGateway(child, directory);
  }

  /** Events of these leaves, 32 bytes each. Resolves when the gateway has read all but the last few. */
  async submit(packedLeaves: Uint8Array): Promise<void> {
    const leaves = Buffer.from(packedLeaves.buffer, packedLeaves.byteOffset, packedLeaves.byteLength);
    const stdin = this.#child.stdin!;
    for (let start = 0; start < leaves.length; start += 32 * LINES_A_WRITE) {
      const lines: string[] = [];
      const end = Math.min(start + 32 * LINES_A_WRITE, leaves.length);
      for (let offset = start; offset < end; offset += 32) {
        lines.push(leaves.toString('hex', offset, offset + 32), '\n');
      }
      if (!stdin.write(lines.join(''))) await Promise.race([once(stdin, 'drain'), this.#ended]);
    }
  }

  /**
   * The first report like this, as soon as there is one.
   *
   * @param from how many reports to pass over; `reports.length` for what is yet to come
   * @throws where the gateway ends before
   */
  async told<T extends GatewayReport>(
    isWanted: (report: GatewayReport) => report is T,
    from?: number,
  ): Promise<T>;
  async told(isWanted: (report: GatewayReport) => boolean, from?: number): Promise<GatewayReport>;
  async told(isWanted: (report: GatewayReport) => boolean, from = 0): Promise<GatewayReport> {
    let look = () => {};
    const found = new Promise<GatewayReport>((resolve) => {
      look = () => {
        const report = this.reports.slice(from).find(isWanted);
        if (report !== undefined) resolve(report);
      };
      this.#listeners.add(look);
      look();
    });
    const ended = this.#ended.then((why) => {
      throw new Error(`the gateway ended ${why === '' ? 'and did not tell it' : `with ${why}`}`);
    });
    return await Promise.race([found, ended]).finally(() => this.#listeners.delete(look));
  }

  /** No more events: resolves to the rows of its database once every event is anchored. */
  async finish(): Promise<GatewayRow[]> {
    this.#child.stdin!.end();
    const failure = await this.#ended;
    if (failure !== '') throw new Error(`the gateway ended with ${failure}`);
    const rows: GatewayRow[] = [];
    for await (const line of createInterface({ input: createReadStream(databaseIn(this.#directory)) })) {
      rows.push(JSON.parse(line) as GatewayRow);
    }
    return rows;
  }

  /** Ends it where it runs still, and removes its database. */
  async discard(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#ended;
    await rm(this.#directory, { recursive: true, force: true });
  }
}

function databaseIn(directory: string): string {
  return join(directory, 'events.jsonl');
}
