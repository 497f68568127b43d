import type { JournalFile, JournalFiles } from '../../../src/gateway/journal/file-system.ts';

export type Operation =
  | 'list'
  | 'create'
  | 'open'
  | 'read'
  | 'write'
  | 'sync'
  | 'truncate'
  | 'rename'
  | 'remove';

/** What is in a file, and what of it would still be there after a power failure. */
interface Content {
  bytes: Buffer;
  durable: Buffer;
}

/** A number from 0 up to, not including, `below`. */
export type Choose = (below: number) => number;

/**
 * A file system in memory that forgets what was not synced: contents need a sync of the file, names one of the directory. Any
 * operation can be made to fail, and power to fail before any of them.
 */
export class MemoryFiles implements JournalFiles {
  #names = new Map<string, Content>();
  #durableNames = new Map<string, Content>();
  #isLocked = false;
  /** Asked before each operation; what it returns is thrown. */
  fault: ((operation: Operation, path: string) => Error | undefined) | undefined;
  openFiles = 0;
  /** How many operations there were that change something. */
  changes = 0;
  /** Nothing works any more after so many changes. */
  powerFailsAt = Number.POSITIVE_INFINITY;

  lock(): () => void {
    if (this.#isLocked) throw new Error('two outboxes on one directory');
    this.#isLocked = true;
    return () => {
      this.#isLocked = false;
    };
  }

  async makeDirectory(): Promise<void> {}

  async list(path: string): Promise<string[]> {
    await this.#before('list', path);
    return [...this.#names.keys()].map((name) => name.slice(path.length + 1));
  }

  async create(path: string): Promise<JournalFile> {
    await this.#before('create', path);
    if (this.#names.has(path)) throw systemError('EEXIST');
    const content = { bytes: Buffer.alloc(0), durable: Buffer.alloc(0) };
    this.#names.set(path, content);
    return this.#file(path, content);
  }

  async openForReading(path: string): Promise<JournalFile> {
    await this.#before('open', path);
    return this.#file(path, this.#content(path));
  }

  openForWriting(path: string): Promise<JournalFile> {
    return this.openForReading(path);
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#before('rename', from);
    this.#names.set(to, this.#content(from));
    this.#names.delete(from);
  }

  async remove(path: string): Promise<void> {
    await this.#before('remove', path);
    this.#content(path);
    this.#names.delete(path);
  }

  async syncDirectory(path: string): Promise<void> {
    await this.#before('sync', path);
    this.#durableNames = new Map(this.#names);
  }

  /** What another process finds after the power has failed: of what was not synced, whatever is chosen. */
  afterPowerFailure(choose: Choose): MemoryFiles {
    const after = new MemoryFiles();
    for (const path of new Set([...this.#names.keys(), ...this.#durableNames.keys()])) {
      const [now, durable] = [this.#names.get(path), this.#durableNames.get(path)];
      const content = now === durable || choose(2) === 0 ? durable : now;
      if (content !== undefined) after.put(path, survivors(content, choose));
    }
    return after;
  }

  names(): string[] {
    return [...this.#names.keys()].sort();
  }

  get(path: string): Buffer {
    return Buffer.from(this.#content(path).bytes);
  }

  /** Puts a file there, durably. */
  put(path: string, bytes: Buffer): void {
    const content = { bytes, durable: bytes };
    this.#names.set(path, content);
    this.#durableNames.set(path, content);
  }

  #content(path: string): Content {
    const content = this.#names.get(path);
    if (content === undefined) throw systemError('ENOENT');
    return content;
  }

  #file(path: string, content: Content): JournalFile {
    this.openFiles++;
    return {
      read: async (bytes, position) => {
        await this.#before('read', path);
        return content.bytes.copy(bytes, 0, position);
      },
      write: async (bytes, length, position) => {
        await this.#before('write', path);
        const size = Math.max(content.bytes.length, position + length);
        const grown = Buffer.alloc(size);
        content.bytes.copy(grown);
        bytes.copy(grown, position, 0, length);
        content.bytes = grown;
      },
      size: async () => content.bytes.length,
      sync: async () => {
        await this.#before('sync', path);
        content.durable = content.bytes;
      },
      truncate: async (bytes) => {
        await this.#before('truncate', path);
        content.bytes = Buffer.from(content.bytes.subarray(0, bytes));
      },
      close: async () => {
        this.openFiles--;
      },
    };
  }

  async #before(operation: Operation, path: string): Promise<void> {
    const isChange = !['list', 'open', 'read'].includes(operation);
    if (isChange && this.changes++ >= this.powerFailsAt) throw new Error('the power has failed');
    const fault = this.fault?.(operation, path);
    if (fault !== undefined) throw fault;
    // As with a real disk, others run meanwhile.
    if (isChange) await new Promise(setImmediate);
  }
}

function survivors({ bytes, durable }: Content, choose: Choose): Buffer {
  if (bytes.length < durable.length) return choose(2) === 0 ? durable : bytes;
  const written = durable.length + choose(bytes.length - durable.length + 1);
  const survived = Buffer.from(bytes.subarray(0, written));
  // Some file systems make the file long before they write what is in it.
  return choose(4) === 0 ? Buffer.concat([survived, Buffer.alloc(bytes.length - written)]) : survived;
}

export function systemError(code: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: made up by a test`), { code });
}
