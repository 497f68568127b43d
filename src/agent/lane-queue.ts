import type { AnchorJob } from './anchor-job.ts';

/**
 * The jobs of one cluster that are in the spool, or on their way there, in the order of their coming.
 *
 * What came while the notary was away goes one after the other, and before all that comes later; so does what nobody waits for
 * any more. Beyond that, jobs whose callers all wait are concurrent, and go together.
 */
export class LaneQueue {
  /** by sequence, rising */
  readonly #jobs = new Map<number, AnchorJob>();
  #lastSequence = 0;
  /** What has this sequence or a lower one goes before all that comes. */
  #barrier = 0;

  /** Whether what comes now has to wait for something. */
  get hasPrecedence(): boolean {
    return this.#oldest <= this.#barrier;
  }

  get isEmpty(): boolean {
    return this.#jobs.size === 0;
  }

  /** Takes up a job of an earlier process; oldest first. */
  restore(job: AnchorJob): void {
    this.#put(job, job.sequence);
    this.#barrier = this.#lastSequence;
  }

  /** Gives a job its place: the last. */
  add(job: AnchorJob, isNotaryThere: boolean): void {
    if (isNotaryThere) job.after = this.hasPrecedence ? this.#barrier : 0;
    else job.after = this.isEmpty ? 0 : this.#lastSequence;
    this.#put(job, this.#lastSequence + 1);
    if (!isNotaryThere) this.#barrier = job.sequence;
  }

  remove(job: AnchorJob): void {
    if (this.#jobs.get(job.sequence) === job) this.#jobs.delete(job.sequence);
  }

  /** Nobody waits for it any more: whoever comes now, comes after it. */
  left(job: AnchorJob): void {
    if (this.#jobs.get(job.sequence) === job) this.#barrier = Math.max(this.#barrier, job.sequence);
  }

  /** The first so many, tried or to be tried; ends at one that may not go yet. */
  *startable(most: number): Generator<AnchorJob> {
    let count = 0;
    for (const job of this.#jobs.values()) {
      const mayGo =
        job.isTrying || (job.stored !== undefined && (job.after === 0 || this.#oldest > job.after));
      if (!mayGo || ++count > most) return;
      yield job;
    }
  }

  get #oldest(): number {
    const [oldest] = this.#jobs.keys();
    return oldest ?? Number.POSITIVE_INFINITY;
  }

  #put(job: AnchorJob, sequence: number): void {
    job.sequence = sequence;
    this.#lastSequence = Math.max(this.#lastSequence, sequence);
    this.#jobs.set(sequence, job);
  }
}
