import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { CreateAnchorResponse } from '#gen/quartermaster/v1/notary_pb.js';
import type { Evidence } from '../gateway/delivery.ts';
import { formatEvidence } from '../gateway/evidence.ts';
import type { GatewayLogger } from '../gateway/logger.ts';
import type { AnchorCall, CallLimits, NotaryLink } from '../gateway/notary-link.ts';
import { Trust } from '../gateway/trust.ts';
import { VerificationError } from '../verify/index.ts';
import { makeDirectory, writeDurably } from './durable-files.ts';

export interface WitnessOptions {
  /** pinned verifier keys, of any number of clusters */
  readonly keys: readonly string[];
  readonly link: Pick<NotaryLink, 'getConsistencyPath'>;
  /** where the newest checkpoint of each log is kept, and what proves a lie */
  readonly directory: string;
  readonly now: () => number;
  readonly log: GatewayLogger;
}

const NOTE = '.note';
/** Logs of clusters that are not pinned are refused, so that this many are never reached but by mistake. */
const MAX_CLUSTERS = 1_000;

/** Verifies answers of all clusters, and remembers how far each log was seen: across restarts, too. */
export class Witness {
  readonly #options: WitnessOptions;
  /** by cluster, as callers name it */
  readonly #trusts = new Map<string, Trust>();
  /** what is to be written, by file */
  readonly #pending = new Map<string, string>();
  #writing: Promise<void> | undefined;

  constructor(options: WitnessOptions) {
    this.#options = options;
  }

  /** @throws {VerificationError} for a kept checkpoint that the pinned keys do not verify */
  async open(): Promise<void> {
    const directory = this.#checkpoints;
    await makeDirectory(directory);
    await makeDirectory(this.#evidence);
    const notes = new Map<string, string[]>();
    for (const name of (await readdir(directory)).sort()) {
      if (!name.endsWith(NOTE)) continue;
      const clusterId = name.slice(0, name.indexOf('.'));
      const note = await readFile(join(directory, name), 'utf8');
      notes.set(clusterId, [...(notes.get(clusterId) ?? []), note]);
    }
    for (const [clusterId, kept] of notes) this.#trustOf(clusterId).restore(kept);
  }

  /** What to present for a caller that presents nothing; empty for none. */
  knownCheckpoint(clusterId: string): string {
    return this.#trustOf(clusterId).knownCheckpoint();
  }

  /** @throws {VerificationError} The answer does not prove what it says. Anything else is a failure of a further call. */
  async accept(answer: CreateAnchorResponse, call: AnchorCall, limits: CallLimits): Promise<void> {
    const trust = this.#trustOf(call.clusterId);
    const told = { ...answer, logIndex: Number(answer.logIndex) };
    const accepted = await trust.accept(told, call, limits).catch(async (error: unknown) => {
      if (error instanceof VerificationError) {
        const newestCheckpoint = trust.knownCheckpoint();
        await this.#keepEvidence(error, { call, answer: told, newestCheckpoint });
      }
      throw error;
    });
    if (accepted.checkpoint !== undefined) {
      this.#pending.set(`${call.clusterId}.${accepted.clusterId}${NOTE}`, accepted.checkpoint);
      this.#writing ??= this.#write();
    }
  }

  async close(): Promise<void> {
    await this.#writing;
  }

  #trustOf(clusterId: string): Trust {
    let trust = this.#trusts.get(clusterId);
    if (trust === undefined) {
      trust = new Trust({ clusterId, keys: this.#options.keys, link: this.#options.link });
      this.#trusts.set(clusterId, trust);
      const [oldest] = this.#trusts.keys();
      if (this.#trusts.size > MAX_CLUSTERS && oldest !== undefined) this.#trusts.delete(oldest);
    }
    return trust;
  }

  get #checkpoints(): string {
    return join(this.#options.directory, 'checkpoints');
  }

  get #evidence(): string {
    return join(this.#options.directory, 'evidence');
  }

  /** The newest of each kind: a notary that lies to every call must not fill the disk. */
  async #keepEvidence({ code, message }: VerificationError, evidence: Evidence): Promise<void> {
    const { now, log } = this.#options;
    const file = join(this.#evidence, `${evidence.call.clusterId}.${code}.json`);
    try {
      await writeDurably(file, [Buffer.from(formatEvidence(now(), code, message, evidence))]);
      log.error({ file }, 'what the notary said is kept as evidence');
    } catch (error) {
      log.error({ err: error }, 'the evidence against the notary cannot be kept');
    }
  }

  /** The newest are enough: answers wait for no disk. */
  async #write(): Promise<void> {
    const { log } = this.#options;
    const directory = this.#checkpoints;
    try {
      for (const [name, note] of this.#pending) {
        this.#pending.delete(name);
        await writeDurably(join(directory, name), [Buffer.from(note)]);
      }
    } catch (error) {
      log.error({ err: error }, 'the newest checkpoint of a log cannot be kept');
    } finally {
      this.#writing = undefined;
    }
  }
}
