// A manifest on disk: created whole, then only appended to, each append synced.

import { constants } from 'node:fs';
import { type FileHandle, link, open, unlink } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { openRegular, openRegularIfThere } from '../open-regular.ts';
import { formatEntry, type HeaderEntry, type KeysEntry, type ManifestEntry } from './manifest-entry.ts';
import { type AnchoredGroup, ManifestRecovery, type ManifestState } from './recover-manifest.ts';

const LF = 0x0a;
const CHUNK_BYTES = 1024 * 1024;
/** Far more than any entry has; what is longer is no manifest. */
const MAX_ENTRY_BYTES = 1024 * 1024;

/** An open manifest at its end. */
export class ManifestFile {
  readonly path: string;
  readonly state: ManifestState;
  readonly #file: FileHandle;

  private constructor(path: string, file: FileHandle, state: ManifestState) {
    this.path = path;
    this.#file = file;
    this.state = state;
  }

  /** Opens a manifest and cuts off what a crash has left torn; undefined where there is none. */
  static async open(path: string): Promise<ManifestFile | undefined> {
    // O_APPEND: whatever happens to positions, history is not written over.
    const flags = constants.O_RDWR | constants.O_APPEND;
    const opened = await openRegularIfThere(path, `the manifest ${path}`, flags);
    if (opened === undefined) return undefined;
    const { file } = opened;
    try {
      const recovery = new ManifestRecovery(path);
      for await (const { text, endOffset } of linesOf(file)) recovery.push(text, endOffset);
      const state = recovery.finish();
      await file.truncate(state.soundLength);
      await file.datasync();
      return new ManifestFile(path, file, state);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Begins a manifest. It appears with its first entries or not at all, so that no crash leaves half a header. */
  static async create(path: string, header: HeaderEntry, keys: KeysEntry): Promise<void> {
    const draft = `${path}.${process.pid}.draft`;
    const file = await open(draft, 'w', 0o644);
    try {
      await file.writeFile(formatEntry(header) + formatEntry(keys));
      await file.sync();
    } finally {
      await file.close();
    }
    try {
      await link(draft, path);
    } finally {
      await unlink(draft);
    }
    await syncDirectory(dirname(path));
  }

  /** In one write, on disk when it returns. */
  async append(entries: readonly ManifestEntry[]): Promise<void> {
    await this.#file.appendFile(entries.map(formatEntry).join(''));
    await this.#file.datasync();
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

/** Every batch that has ended, in order. Reads by the way, in memory for one batch. */
export async function* readGroups(path: string): AsyncGenerator<AnchoredGroup, ManifestState, undefined> {
  const { file } = await openRegular(path, `manifest ${path}`);
  try {
    let ended: AnchoredGroup | undefined;
    const recovery = new ManifestRecovery(path, (group) => {
      ended = group;
    });
    for await (const { text, endOffset } of linesOf(file)) {
      recovery.push(text, endOffset);
      if (ended === undefined) continue;
      yield ended;
      ended = undefined;
    }
    return recovery.finish();
  } finally {
    await file.close();
  }
}

export function defaultManifestPath(file: string): string {
  return `${file}.manifest.jsonl`;
}

export function headerFor(clusterId: string, file: string): HeaderEntry {
  return { type: 'quartermaster.dev/manifest@v1', cluster_id: clusterId, file: basename(file) };
}

/** Lines that end with LF; what follows the last LF is torn and left out. */
async function* linesOf(
  file: FileHandle,
): AsyncGenerator<{ readonly text: string; readonly endOffset: number }, void, undefined> {
  const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
  let carry: Buffer = Buffer.alloc(0);
  let offset = 0;
  for (;;) {
    const { bytesRead } = await file.read(buffer, 0, CHUNK_BYTES, offset);
    if (bytesRead === 0) return;
    const chunk = buffer.subarray(0, bytesRead);
    let at = 0;
    for (let end = chunk.indexOf(LF); end !== -1; end = chunk.indexOf(LF, at)) {
      const text = Buffer.concat([carry, chunk.subarray(at, end)]).toString('utf8');
      carry = Buffer.alloc(0);
      at = end + 1;
      yield { text, endOffset: offset + at };
    }
    carry = Buffer.concat([carry, chunk.subarray(at)]);
    // No entry is this long: give it away as a line that cannot be read, and hold no more of it.
    if (carry.length > MAX_ENTRY_BYTES) {
      carry = Buffer.alloc(0);
      yield { text: '', endOffset: offset + bytesRead };
    }
    offset += bytesRead;
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
