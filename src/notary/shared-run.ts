/**
 * Lets many callers share one asynchronous read without anyone getting an answer that is older than its question: who
 * asks while a run is under way gets the next run, which all who asked meanwhile share.
 */
export class SharedRun {
  readonly #run: () => Promise<void>;
  #current: Promise<void> | undefined;
  #following: Promise<void> | undefined;

  constructor(run: () => Promise<void>) {
    this.#run = run;
  }

  /** Resolves or rejects with a run that began after this call. */
  next(): Promise<void> {
    // Looked at first: between the end of a run and the start of the next one there is no current run.
    if (this.#following !== undefined) return this.#following;
    if (this.#current === undefined) return this.#start();
    const start = () => this.#start();
    this.#following = this.#current.then(start, start);
    return this.#following;
  }

  #start(): Promise<void> {
    this.#following = undefined;
    const current = this.#run().finally(() => {
      if (this.#current === current) this.#current = undefined;
    });
    this.#current = current;
    return current;
  }
}
