import { mkdir, open, readdir, rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { lockFile } from '../../exclusive/lock-file.ts';

/** The little that a journal asks of a file system: a port, so that tests can let any of it fail. */
export interface JournalFiles {
  /**
   * Keeps other processes out. @returns how to let them in
   *
   * @throws {LockError} IN_USE, FAILED
   */
  lock(directory: string): () => void;
  /** Makes the directory where it is missing; the one above must be there. */
  makeDirectory(path: string): Promise<void>;
  list(path: string): Promise<string[]>;
  /** A new file, for its owner only. Rejects with EEXIST where there is one. */
  create(path: string): Promise<JournalFile>;
  openForReading(path: string): Promise<JournalFile>;
  openForWriting(path: string): Promise<JournalFile>;
  rename(from: string, to: string): Promise<void>;
  remove(path: string): Promise<void>;
  /** Makes names durable that were made or removed. */
  syncDirectory(path: string): Promise<void>;
}

export interface JournalFile {
  /** @returns how many bytes were read: fewer at the end */
  read(bytes: Buffer, position: number): Promise<number>;
  /** All of them, or it rejects. */
  write(bytes: Buffer, length: number, position: number): Promise<void>;
  size(): Promise<number>;
  /** Resolves when all that was written is on disk, and rejects where nobody could find it there. */
  sync(): Promise<void>;
  truncate(bytes: number): Promise<void>;
  close(): Promise<void>;
}

export const nodeFiles: JournalFiles = {
  lock: (directory) => lockFile(join(directory, 'lock'), `the journal ${directory}`),
  async makeDirectory(path) {
    try {
      await mkdir(path, { mode: 0o700 });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  },
  list: (path) => readdir(path),
  create: (path) => opened(path, 'wx'),
  openForReading: (path) => opened(path, 'r'),
  openForWriting: (path) => opened(path, 'r+'),
  rename,
  remove: unlink,
  async syncDirectory(path) {
    // Windows has no such thing, and needs none.
    if (process.platform === 'win32') return;
    const directory = await open(path, 'r');
    await directory.sync().finally(() => directory.close());
  },
};

async function opened(path: string, flags: string): Promise<JournalFile> {
  const file = await open(path, flags, 0o600);
  return {
    async read(bytes, position) {
      let done = 0;
      while (done < bytes.length) {
        const { bytesRead } = await file.read(bytes, done, bytes.length - done, position + done);
        if (bytesRead === 0) break;
        done += bytesRead;
      }
      return done;
    },
    async write(bytes, length, position) {
      // A disk that becomes full takes the first part, and says why at the next.
      for (let done = 0; done < length; ) {
        done += (await file.write(bytes, done, length - done, position + done)).bytesWritten;
      }
    },
    size: async () => (await file.stat()).size,
    async sync() {
      await file.datasync();
      // A file without a name takes writes as ever, and is gone with this process.
      if ((await file.stat()).nlink === 0) {
        throw Object.assign(new Error(`ENOENT: ${path} was removed`), { code: 'ENOENT' });
      }
    },
    truncate: (bytes) => file.truncate(bytes),
    close: () => file.close(),
  };
}
