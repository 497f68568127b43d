// The life of one `anchor` run: check what was anchored, send what was interrupted, then what is new.

import { randomUUID } from 'node:crypto';
import { fastHasher } from '../../merkle/fast.ts';
import {
  type AnchorResponse,
  type Policy,
  VerificationError,
  type VerifiedAnchor,
  type VerifiedCheckpoint,
  verifyAnchorResponse,
  verifyCheckpoint,
} from '../../verify/index.ts';
import { CliError } from '../error.ts';
import { checkGivenKeys, checkNamedKeys } from '../log-keys.ts';
import { batchEntryFor, checkAnchoredLines, rangeAfter, rescanPending } from './check-anchored.ts';
import type { BatchEntry, KeysEntry, LineEntry } from './manifest-entry.ts';
import { headerFor, ManifestFile } from './manifest-file.ts';
import type { ManifestState } from './recover-manifest.ts';
import { type LineBatch, type LineSource, scanLines } from './scan-lines.ts';

/** What anchoring needs of a notary. Tries again by itself where that is safe. */
export interface AnchoringNotary {
  getLog(clusterId: string): Promise<{ readonly vkeys: readonly string[]; readonly maxLeafCount: number }>;
  createAnchor(request: AnchoringRequest): Promise<AnchorResponse & { readonly replayed: boolean }>;
}

export interface AnchoringRequest {
  readonly clusterId: string;
  readonly packedLeaves: Uint8Array;
  readonly requestId: string;
  /** empty for none */
  readonly knownCheckpoint: string;
}

export interface AnchoringTask {
  /** lower-case UUID */
  readonly clusterId: string;
  readonly fileName: string;
  readonly source: LineSource;
  readonly manifestPath: string;
  /** Most lines of a batch; the notary's own limit holds besides. */
  readonly batchLines: number;
  /** Keys to verify answers with; empty: those of the manifest, or of the notary at the first run. */
  readonly pinnedKeys: readonly string[];
  /** Called after each batch. */
  readonly onProgress: (progress: AnchoringProgress) => void;
}

export interface AnchoringProgress {
  /** Bytes of the file that are anchored. */
  readonly endOffset: number;
  readonly lines: number;
}

export interface AnchoringResult {
  /** Lines anchored by this run. */
  readonly lines: number;
  readonly batches: number;
  /** Batches that an interrupted run had already brought home. */
  readonly replayed: number;
  /** Lines of the file that are anchored now. */
  readonly linesInAll: number;
  /** The last line, where it has no LF yet. */
  readonly unterminatedLine: number | undefined;
  readonly checkpoint: VerifiedCheckpoint | undefined;
  readonly keys: KeysEntry;
}

/** @throws {CliError} REFUSED where the file or an answer is not what it must be */
export async function anchorFile(task: AnchoringTask, notary: AnchoringNotary): Promise<AnchoringResult> {
  checkGivenKeys(task.pinnedKeys, task.clusterId);
  const { vkeys, maxLeafCount } = await notary.getLog(task.clusterId);
  if (!(maxLeafCount >= 1)) {
    throw new CliError('REFUSED', `the notary says that it takes batches of ${maxLeafCount} leaves`);
  }
  const manifest = (await ManifestFile.open(task.manifestPath)) ?? (await begin(task, vkeys));
  try {
    const keys = chooseKeys(task, manifest.state);
    // Verifies the newest checkpoint, so that wrong keys do not get into the manifest.
    const run = new Run(task, notary, manifest, keys);
    await checkAnchoredLines(task.source, task.fileName, task.manifestPath);
    const { pending } = manifest.state;
    if (pending !== undefined)
      await run.send(pending, await rescanPending(task.source, task.fileName, pending));
    // Not before: between a batch and its answer nothing may stand.
    if (keys !== manifest.state.keys) await manifest.append([keys]);
    const range = await rangeAfter(task.source, run.last);
    for await (const batch of scanLines(task.source, range, Math.min(task.batchLines, maxLeafCount))) {
      const entry = batchEntryFor(batch, randomUUID());
      await manifest.append([entry]);
      await run.send(entry, batch);
    }
    return run.result(keys);
  } finally {
    await manifest.close();
  }
}

async function begin(task: AnchoringTask, vkeysOfLog: readonly string[]): Promise<ManifestFile> {
  const pinned = task.pinnedKeys.length > 0;
  const vkeys = pinned ? task.pinnedKeys : checkNamedKeys(vkeysOfLog, task.clusterId);
  const keys: KeysEntry = { type: 'keys', vkeys, pinned };
  await ManifestFile.create(task.manifestPath, headerFor(task.clusterId, task.fileName), keys);
  const created = await ManifestFile.open(task.manifestPath);
  if (created === undefined) throw new CliError('FAILED', `the manifest ${task.manifestPath} is gone again`);
  return created;
}

/** Keys given now replace those of the manifest. */
function chooseKeys(
  { clusterId, pinnedKeys, manifestPath }: AnchoringTask,
  { header, keys }: ManifestState,
): KeysEntry {
  if (header.cluster_id !== clusterId) {
    throw new CliError(
      'USAGE',
      `${manifestPath} belongs to cluster ${header.cluster_id}: name that one, or another manifest with --manifest`,
    );
  }
  const stays = pinnedKeys.length === 0 || (keys.pinned && sameKeys(keys.vkeys, pinnedKeys));
  return stays ? keys : { type: 'keys', vkeys: pinnedKeys, pinned: true };
}

function sameKeys(some: readonly string[], others: readonly string[]): boolean {
  return some.length === others.length && some.every((key) => others.includes(key));
}

class Run {
  readonly #task: AnchoringTask;
  readonly #notary: AnchoringNotary;
  readonly #manifest: ManifestFile;
  readonly #policy: Policy;
  #known: VerifiedCheckpoint | undefined;
  #last: BatchEntry | undefined;
  #lines = 0;
  #batches = 0;
  #replayed = 0;

  constructor(task: AnchoringTask, notary: AnchoringNotary, manifest: ManifestFile, keys: KeysEntry) {
    this.#task = task;
    this.#notary = notary;
    this.#manifest = manifest;
    this.#policy = { logKeys: keys.vkeys };
    this.#last = manifest.state.last;
    const { checkpoint } = manifest.state;
    this.#known = checkpoint === undefined ? undefined : this.#verifyKept(checkpoint);
  }

  get last(): BatchEntry | undefined {
    return this.#last;
  }

  /** Sends a batch whose entry is on disk, and writes what came back when it has been verified. */
  async send(entry: BatchEntry, batch: LineBatch): Promise<void> {
    const request: AnchoringRequest = {
      clusterId: this.#task.clusterId,
      packedLeaves: batch.packedLeaves,
      requestId: entry.request_id,
      knownCheckpoint: this.#known?.checkpoint ?? '',
    };
    const response = await this.#notary.createAnchor(request);
    const anchor = this.#verify(response, request, entry);
    await this.#manifest.append([
      ...linesOf(batch, anchor.anchorId),
      {
        type: 'anchored',
        request_id: entry.request_id,
        anchor_id: anchor.anchorId,
        log_index: anchor.logIndex,
        checkpoint: anchor.checkpoint.checkpoint,
      },
    ]);
    this.#known = anchor.checkpoint;
    this.#last = entry;
    this.#lines += batch.lineCount;
    this.#batches++;
    if (response.replayed) this.#replayed++;
    this.#task.onProgress({ endOffset: batch.endOffset, lines: this.#lines });
  }

  result(keys: KeysEntry): AnchoringResult {
    return {
      lines: this.#lines,
      batches: this.#batches,
      replayed: this.#replayed,
      linesInAll: this.#last?.last_line ?? 0,
      unterminatedLine: this.#last?.unterminated_from === undefined ? undefined : this.#last.last_line,
      checkpoint: this.#known,
      keys,
    };
  }

  #verify(response: AnchorResponse, request: AnchoringRequest, entry: BatchEntry): VerifiedAnchor {
    const { clusterId, packedLeaves, requestId } = request;
    const known = this.#known === undefined ? {} : { known: this.#known };
    try {
      return verifyAnchorResponse(response, { clusterId, packedLeaves, requestId, ...known }, this.#policy, {
        hasher: fastHasher,
      });
    } catch (error) {
      if (!(error instanceof VerificationError)) throw error;
      throw new CliError(
        'REFUSED',
        `the notary's answer for lines ${entry.first_line} to ${entry.last_line} does not verify (${error.code}): ${error.message}`,
        { cause: error },
      );
    }
  }

  #verifyKept(checkpoint: string): VerifiedCheckpoint {
    try {
      return verifyCheckpoint(checkpoint, this.#policy);
    } catch (error) {
      if (!(error instanceof VerificationError)) throw error;
      throw new CliError(
        'REFUSED',
        `the newest checkpoint in ${this.#manifest.path} does not verify with the keys (${error.code}): ${error.message}`,
        { cause: error },
      );
    }
  }
}

function linesOf({ packedLeaves, firstLine, lineCount }: LineBatch, anchorId: string): LineEntry[] {
  const leaves = Buffer.from(packedLeaves.buffer, packedLeaves.byteOffset, packedLeaves.byteLength);
  return Array.from({ length: lineCount }, (_, index) => ({
    line: firstLine + index,
    leaf: leaves.toString('hex', index * 32, (index + 1) * 32),
    anchor_id: anchorId,
    leaf_index: index,
  }));
}
