// Calls that were spooled and are anchored: for a while a retry of one must find its anchor, also after a restart.

import type { FileHandle } from 'node:fs/promises';
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { writeDurably } from './durable-files.ts';

/** Beyond so many the oldest are forgotten early: about 30 MB of memory. */
export const MAX_REMEMBERED_CALLS = 100_000;

interface Remembered {
  readonly requestId: string;
  readonly anchoredAtMs: number;
}

/**
 * From the content of a call to the request_id under which it is anchored. A file of lines, `crc32 key request_id
 * milliseconds`, appended to, and written anew when most of it is past its time.
 */
export class AnchoredCalls {
  readonly #path: string;
  readonly #retentionMs: number;
  readonly #maxCalls: number;
  readonly #now: () => number;
  /** oldest first */
  readonly #calls = new Map<string, Remembered>();
  #lines = 0;
  #file: FileHandle | undefined;
  #pending: string[] = [];
  #writing: Promise<void> = Promise.resolve();
  #nextWrite: Promise<void> | undefined;

  constructor(
    directory: string,
    options: { readonly retentionMs: number; readonly now: () => number; readonly maxCalls?: number },
  ) {
    this.#path = join(directory, 'anchored.log');
    this.#retentionMs = options.retentionMs;
    this.#maxCalls = options.maxCalls ?? MAX_REMEMBERED_CALLS;
    this.#now = options.now;
  }

  async open(): Promise<void> {
    for (const line of (await readIfThere(this.#path)).split('\n')) {
      // What a crash tore off was told to nobody.
      const fields = /^([0-9a-f]{8}) (([0-9a-f]{64}) ([0-9a-f-]{36}) (\d{1,16}))$/.exec(line);
      if (fields === null || fields[1] !== checksum(fields[2] ?? '')) continue;
      this.#insert(fields[3] ?? '', { requestId: fields[4] ?? '', anchoredAtMs: Number(fields[5]) });
    }
    await this.#rewrite();
  }

  /** The request_id of an anchored call with this content. */
  find(key: string): string | undefined {
    this.#forgetOld();
    return this.#calls.get(key)?.requestId;
  }

  /** Resolves once it is on disk. Those that come while one write is under way share the next. */
  async remember(key: string, requestId: string): Promise<void> {
    const remembered = { requestId, anchoredAtMs: this.#now() };
    this.#insert(key, remembered);
    this.#forgetOld();
    this.#pending.push(lineOf(key, remembered));
    this.#nextWrite ??= this.#writing
      .catch(() => undefined)
      .then(() => {
        this.#nextWrite = undefined;
        this.#writing = this.#write();
        return this.#writing;
      });
    await this.#nextWrite;
  }

  async close(): Promise<void> {
    await this.#nextWrite?.catch(() => undefined);
    await this.#writing.catch(() => undefined);
    await this.#file?.close();
    this.#file = undefined;
  }

  #insert(key: string, remembered: Remembered): void {
    this.#calls.delete(key);
    this.#calls.set(key, remembered);
  }

  #forgetOld(): void {
    const oldest = this.#now() - this.#retentionMs;
    for (const [key, { anchoredAtMs }] of this.#calls) {
      if (anchoredAtMs > oldest && this.#calls.size <= this.#maxCalls) return;
      this.#calls.delete(key);
    }
  }

  async #write(): Promise<void> {
    const lines = this.#pending;
    this.#pending = [];
    if (this.#lines + lines.length > 2 * this.#calls.size + 1_000) {
      await this.#rewrite();
      return;
    }
    // A line that was cut short by a full disk must not swallow the next one.
    const text = `\n${lines.join('\n')}\n`;
    this.#file ??= await open(this.#path, 'a', 0o600);
    await this.#file.appendFile(text);
    await this.#file.datasync();
    this.#lines += lines.length;
  }

  async #rewrite(): Promise<void> {
    this.#forgetOld();
    const lines = [...this.#calls].map(([key, remembered]) => `${lineOf(key, remembered)}\n`);
    await this.#file?.close();
    this.#file = undefined;
    await writeDurably(this.#path, [Buffer.from(lines.join(''))]);
    this.#lines = lines.length;
  }
}

function lineOf(key: string, { requestId, anchoredAtMs }: Remembered): string {
  const text = `${key} ${requestId} ${anchoredAtMs}`;
  return `${checksum(text)} ${text}`;
}

function checksum(text: string): string {
  return crc32(text).toString(16).padStart(8, '0');
}

async function readIfThere(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}
