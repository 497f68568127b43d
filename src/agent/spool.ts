import { join } from 'node:path';
import type { GatewayLogger } from '../gateway/logger.ts';
import type { Refusal } from '../gateway/outbox.ts';
import { AnchoredCalls } from './anchored-calls.ts';
import { CallFiles, type StoredCall } from './call-files.ts';
import { writeDurably } from './durable-files.ts';
import { AgentError } from './error.ts';
import type { CallHeader, SpooledCall } from './spooled-call.ts';

export interface SpoolOptions {
  readonly directory: string;
  /** of the calls that wait, each counted in blocks of 4 KiB; dead letters are not counted */
  readonly maxBytes: number;
  /** how long an anchored call is remembered, in milliseconds */
  readonly retentionMs: number;
  readonly now: () => number;
  readonly log: GatewayLogger;
}

const BLOCK_BYTES = 4096;
const LEAF_BYTES = 32;
/** The first line, with a checkpoint of the usual size. */
const SMALL_FIELDS_BYTES = 1024;

/** Calls on disk, as many as there may be; in memory only what names them. One process at a time. */
export class Spool {
  readonly #options: SpoolOptions;
  readonly #files: CallFiles;
  readonly #anchored: AnchoredCalls;
  #usedBytes = 0;
  #calls = 0;
  #isBroken = false;

  constructor(options: SpoolOptions) {
    this.#options = options;
    this.#files = new CallFiles(options.directory, options.log);
    this.#anchored = new AnchoredCalls(options.directory, options);
  }

  /** @returns what an earlier process left, by cluster and sequence. @throws {AgentError} SPOOL_FAILED */
  async open(): Promise<readonly StoredCall[]> {
    return await this.#guarded(async () => {
      const found = await this.#files.open();
      await this.#anchored.open();
      for (const { header } of found) this.#count(header, 1);
      return found;
    });
  }

  get callCount(): number {
    return this.#calls;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Whether it takes calls, as far as is known. */
  get isOpen(): boolean {
    return !this.#isBroken && this.#usedBytes + BLOCK_BYTES <= this.#options.maxBytes;
  }

  /** Writes something where it failed before, so that `isOpen` says how it is now. */
  async probe(): Promise<void> {
    if (!this.#isBroken) return;
    const path = join(this.#options.directory, 'probe');
    await this.#guarded(() => writeDurably(path, [Buffer.alloc(BLOCK_BYTES)])).catch(() => undefined);
  }

  /** Resolves once the call is on disk. @throws {AgentError} SPOOL_FULL, SPOOL_FAILED */
  async put(header: CallHeader, sequence: number, packedLeaves: Uint8Array): Promise<StoredCall> {
    if (this.#usedBytes + bytesOf(header) > this.#options.maxBytes) {
      throw new AgentError('SPOOL_FULL', `the spool holds ${this.#usedBytes} bytes`);
    }
    this.#count(header, 1);
    try {
      return await this.#guarded(() => this.#files.put(header, sequence, packedLeaves));
    } catch (error) {
      this.#count(header, -1);
      throw error;
    }
  }

  /** @throws {AgentError} SPOOL_DAMAGED, SPOOL_FAILED */
  read(stored: StoredCall): Promise<SpooledCall> {
    return this.#files.read(stored);
  }

  /** The request_id under which a call with this content was anchored a while ago. */
  anchoredAs(contentKey: string): string | undefined {
    return this.#anchored.find(contentKey);
  }

  /** Resolves once a retry finds the anchor also after a restart. @throws {AgentError} SPOOL_FAILED */
  async remember(contentKey: string, requestId: string): Promise<void> {
    await this.#guarded(() => this.#anchored.remember(contentKey, requestId));
  }

  async remove(stored: StoredCall): Promise<void> {
    await this.#guarded(() => this.#files.remove(stored));
    this.#count(stored.header, -1);
  }

  async bury(stored: StoredCall, refusal: Refusal): Promise<void> {
    await this.#guarded(() => this.#files.bury(stored, refusal, this.#options.now()));
    this.#count(stored.header, -1);
  }

  /** Puts a damaged file where a person finds it. @returns where */
  async setAside(stored: StoredCall): Promise<string> {
    const aside = await this.#guarded(() => this.#files.setAside(stored.path));
    this.#count(stored.header, -1);
    return aside;
  }

  /** Calls that somebody took out of the dead letters. `forgetRevived` once they are spooled again. */
  revived(): AsyncIterable<StoredCall> {
    return this.#files.revived();
  }

  async forgetRevived(stored: StoredCall): Promise<void> {
    await this.#guarded(() => this.#files.remove(stored));
  }

  async close(): Promise<void> {
    await this.#anchored.close();
  }

  #count(header: StoredCall['header'], sign: 1 | -1): void {
    this.#usedBytes += sign * bytesOf(header);
    this.#calls += sign;
  }

  async #guarded<T>(work: () => Promise<T>): Promise<T> {
    try {
      const done = await work();
      this.#setBroken(undefined);
      return done;
    } catch (cause) {
      if (cause instanceof AgentError) throw cause;
      const error = new AgentError('SPOOL_FAILED', `the spool ${this.#options.directory}: ${String(cause)}`, {
        cause,
      });
      this.#setBroken(error);
      throw error;
    }
  }

  #setBroken(error: AgentError | undefined): void {
    if (this.#isBroken === (error !== undefined)) return;
    this.#isBroken = error !== undefined;
    if (error === undefined) this.#options.log.info({}, 'the spool can be written again');
    else this.#options.log.error({ err: error }, 'the spool cannot be written');
  }
}

/** What a call takes on disk, roughly. What names it takes memory, so that each counts for a block at least. */
function bytesOf({ leafCount }: StoredCall['header']): number {
  return Math.ceil((SMALL_FIELDS_BYTES + leafCount * LEAF_BYTES) / BLOCK_BYTES) * BLOCK_BYTES;
}
