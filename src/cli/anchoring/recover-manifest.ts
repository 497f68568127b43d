// What a manifest says after any crash. Pure: lines in, state out.
//
// Each batch is written in two steps, each synced to disk: first its `batch` entry, then (after the answer) its `line` entries and
// `anchored` in one append. So a crash can have left a torn tail after the last `batch` entry, or a torn `batch` entry; the
// first is sent again under the same request_id, the second was never sent. Damage anywhere else is no crash's work.

import { CliError } from '../error.ts';
import {
  type AnchoredEntry,
  type BatchEntry,
  type HeaderEntry,
  type KeysEntry,
  type LineEntry,
  MANIFEST_TYPE,
  type ManifestEntry,
  parseEntry,
} from './manifest-entry.ts';

export interface ManifestState {
  readonly header: HeaderEntry;
  readonly keys: KeysEntry;
  /** The newest verified checkpoint; undefined before the first batch. */
  readonly checkpoint: string | undefined;
  /** Of what is anchored; the last batch that ended. */
  readonly last: BatchEntry | undefined;
  /** Written but not known to be anchored: to be sent again as it was. */
  readonly pending: BatchEntry | undefined;
  /** How many bytes of the manifest are sound; the rest is a torn tail, to be cut off. */
  readonly soundLength: number;
}

/** A batch that ended, with its lines: `onGroup` of {@link ManifestRecovery} gets each. */
export interface AnchoredGroup {
  readonly batch: BatchEntry;
  readonly lines: readonly LineEntry[];
  readonly anchored: AnchoredEntry;
}

/** Feed it the manifest's lines in order; {@link finish} gives the state. */
export class ManifestRecovery {
  readonly #name: string;
  readonly #onGroup: ((group: AnchoredGroup) => void) | undefined;
  #lineNumber = 0;
  #soundLength = 0;
  #header: HeaderEntry | undefined;
  #keys: KeysEntry | undefined;
  #checkpoint: string | undefined;
  #last: BatchEntry | undefined;
  #pending: BatchEntry | undefined;
  #lines: LineEntry[] = [];
  /** Number of the first line of the manifest that cannot be read or does not follow. */
  #damagedAt: number | undefined;

  constructor(name: string, onGroup?: (group: AnchoredGroup) => void) {
    this.#name = name;
    this.#onGroup = onGroup;
  }

  /** @param endOffset bytes of the manifest up to and with this line's LF */
  push(text: string, endOffset: number): void {
    this.#lineNumber++;
    const entry = parseEntry(text);
    if (this.#lineNumber === 1 && (entry === undefined || !isHeader(entry))) {
      throw new CliError('REFUSED', `${this.#name} is no manifest of quartermaster; it is left as it is`);
    }
    if (this.#damagedAt !== undefined) {
      // A batch is only begun on a sound manifest: what lies before it was not torn by a crash.
      if (entry !== undefined && 'type' in entry && entry.type === 'batch') throw this.#corrupt();
      return;
    }
    if (entry === undefined || !this.#take(entry)) {
      this.#damagedAt = this.#lineNumber;
      this.#lines = [];
      if (entry !== undefined && 'type' in entry && entry.type === 'batch') throw this.#corrupt();
      return;
    }
    // Lines count when their batch has ended, which is when they are all there.
    if ('type' in entry) this.#soundLength = endOffset;
  }

  /** @throws {CliError} where there is no header or no key, which no crash leaves behind */
  finish(): ManifestState {
    if (this.#header === undefined || this.#keys === undefined) {
      throw new CliError('REFUSED', `${this.#name} is no manifest of quartermaster; it is left as it is`);
    }
    return {
      header: this.#header,
      keys: this.#keys,
      checkpoint: this.#checkpoint,
      last: this.#last,
      pending: this.#pending,
      soundLength: this.#soundLength,
    };
  }

  /** Whether the entry may stand here. */
  #take(entry: ManifestEntry): boolean {
    if (!('type' in entry)) return this.#takeLine(entry);
    switch (entry.type) {
      case MANIFEST_TYPE:
        if (this.#header !== undefined) return false;
        this.#header = entry;
        return true;
      case 'keys':
        if (this.#pending !== undefined) return false;
        this.#keys = entry;
        return true;
      case 'batch':
        if (this.#pending !== undefined || this.#keys === undefined) return false;
        this.#pending = entry;
        return true;
      case 'anchored':
        return this.#takeAnchored(entry);
    }
  }

  #takeLine(entry: LineEntry): boolean {
    const batch = this.#pending;
    const expected = this.#lines.length;
    if (batch === undefined || entry.leaf_index !== expected || entry.line !== batch.first_line + expected)
      return false;
    this.#lines.push(entry);
    return true;
  }

  #takeAnchored(anchored: AnchoredEntry): boolean {
    const batch = this.#pending;
    if (
      batch === undefined ||
      anchored.request_id !== batch.request_id ||
      this.#lines.length !== batch.last_line - batch.first_line + 1 ||
      this.#lines.some((line) => line.anchor_id !== anchored.anchor_id)
    ) {
      return false;
    }
    const lines = this.#lines;
    this.#lines = [];
    this.#pending = undefined;
    this.#last = batch;
    this.#checkpoint = anchored.checkpoint;
    this.#onGroup?.({ batch, lines, anchored });
    return true;
  }

  #corrupt(): CliError {
    return new CliError(
      'REFUSED',
      `${this.#name} is damaged at its line ${this.#damagedAt}, which an interrupted run does not explain: restore it, ` +
        'or begin another with --manifest',
    );
  }
}

function isHeader(entry: ManifestEntry): boolean {
  return 'type' in entry && entry.type === MANIFEST_TYPE;
}
