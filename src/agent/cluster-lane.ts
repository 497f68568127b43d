// The calls of one cluster on their way to the notary.

import { type Judgement, judge } from '../gateway/refusal.ts';
import { statusDetails } from '../rpc/status-details.ts';
import { VerificationError } from '../verify/index.ts';
import { AnchorJob, type CallInMemory } from './anchor-job.ts';
import type { StoredCall } from './call-files.ts';
import { contentKey } from './content-key.ts';
import { AgentError } from './error.ts';
import type { LaneEnvironment } from './lane-environment.ts';
import type { SpooledCall } from './spooled-call.ts';
import { agentStatus, passedBack, spooled, spoolRefusal } from './status.ts';
import type { CallerTerms, WaitingCaller } from './waiting-caller.ts';

/** Spooled calls on their way at once, where none has to wait for another. */
const MAX_TRIES = 16;
/** A notary on a slow disk takes that long at most: with less it would be asked again and again for what it is at. */
const MS_FOR_A_MIB = 1_000;
/** After evidence against the notary somebody has to act first. */
const AFTER_ALARM_MS = 60_000;

/**
 * Order: what came while the notary was away goes first, one after the other as it came, and so does what nobody waits for any
 * more; whatever comes later waits until that is anchored. Calls beyond that, whose callers all wait, are concurrent with one
 * another, and go as they come.
 */
export class ClusterLane {
  readonly #env: LaneEnvironment;
  readonly #onIdle: () => void;
  /** all, by content */
  readonly #jobs = new Map<string, AnchorJob>();
  /** those in the spool, or on their way there, by sequence */
  readonly #queue = new Map<number, AnchorJob>();
  #lastSequence = 0;
  /** What is anchored up to here goes before all that comes. */
  #barrier = 0;
  #failures = 0;
  /** When to try again, by the clock. */
  #opensAtMs = 0;
  #cancelTimer: (() => void) | undefined;
  #isAlarmed = false;

  /** @param onIdle told when nothing is left to be known of the cluster */
  constructor(environment: LaneEnvironment, onIdle: () => void) {
    this.#env = environment;
    this.#onIdle = onIdle;
  }

  /** Takes up what an earlier process left, oldest first. */
  restore(calls: readonly StoredCall[]): void {
    for (const stored of calls) this.#enqueue(AnchorJob.fromDisk(stored), stored.sequence);
    this.#barrier = this.#lastSequence;
  }

  /** Anchors a call, and answers the caller in any case. @returns what to do when the caller is gone */
  submit(call: Omit<CallInMemory, 'requestId'>, caller: WaitingCaller): () => void {
    const key = contentKey(call);
    const job = this.#jobs.get(key) ?? this.#begin(key, call);
    // The leaves of a caller that comes again are here already.
    if (job.inMemory?.release !== call.release) call.release();
    job.add(caller);
    caller.beforeDeadline(() => void this.#giveUp(job, caller));
    return () => {
      caller.gone();
      job.remove(caller);
      this.#noteOrphan(job);
    };
  }

  /** A call that was refused once goes again, without the checkpoint that it came with. */
  async revive(call: SpooledCall): Promise<void> {
    const key = contentKey(call);
    if (this.#jobs.has(key)) return;
    const leafCount = call.packedLeaves.length / 32;
    const job = new AnchorJob(key, { ...call, leafCount });
    job.isPromised = true;
    job.inMemory = { ...call, knownCheckpoint: '', first: undefined, release: () => {} };
    this.#jobs.set(key, job);
    await this.#keep(job);
    this.pump();
  }

  /** The notary is back: does not wait any longer. */
  wake(): void {
    if (this.#failures === 0 || this.#isAlarmed) return;
    this.#opensAtMs = 0;
    this.pump();
  }

  /** Starts whatever may start now. */
  pump(): void {
    if (this.#env.signal.aborted || this.#isClosed) return;
    // One try finds out whether the notary is back.
    const maxTries = this.#failures > 0 ? 1 : MAX_TRIES;
    let tries = 0;
    for (const job of this.#queue.values()) {
      if (!job.isTrying && !this.#mayGo(job)) return;
      tries++;
      if (job.isTrying) continue;
      if (tries > maxTries || !this.#env.takeMemory(job.leafCount * 32, this)) return;
      void this.#tryStored(job).finally(() => this.#env.giveMemory(job.leafCount * 32));
    }
  }

  /** Tells everybody who waits to come again; what they sent is kept. */
  async giveUpAll(): Promise<void> {
    const all = [...this.#jobs.values()].flatMap((job) =>
      job.callers.map((caller) => this.#giveUp(job, caller)),
    );
    await Promise.all(all);
  }

  get waitingCallers(): number {
    return [...this.#jobs.values()].reduce((sum, job) => sum + job.callers.length, 0);
  }

  close(): void {
    this.#cancelTimer?.();
  }

  get #isClosed(): boolean {
    return this.#env.now() < this.#opensAtMs;
  }

  get #oldest(): number {
    const [oldest] = this.#queue.keys();
    return oldest ?? Number.POSITIVE_INFINITY;
  }

  #begin(key: string, call: Omit<CallInMemory, 'requestId'>): AnchorJob {
    const known = this.#env.spool.anchoredAs(key);
    const requestId = call.givenRequestId ?? known ?? this.#env.newRequestId();
    const job = new AnchorJob(key, { ...call, requestId, leafCount: call.packedLeaves.length / 32 });
    job.inMemory = { ...call, requestId };
    this.#jobs.set(key, job);
    const isNotaryThere = !this.#env.presence.isAway && this.#failures === 0;
    // What is anchored already waits for nothing.
    const mayGoAtOnce = isNotaryThere && (known !== undefined || this.#oldest > this.#barrier);
    if (mayGoAtOnce) queueMicrotask(() => void this.#tryInMemory(job));
    else
      void this.#keep(job).then(
        () => this.pump(),
        () => {},
      );
    return job;
  }

  #mayGo(job: AnchorJob): boolean {
    return job.stored !== undefined && (job.after === 0 || this.#oldest > job.after);
  }

  // The spool

  /** Puts a job on disk, once. Where that fails its callers are told, and it is forgotten. */
  #keep(job: AnchorJob): Promise<StoredCall> {
    job.keeping ??= this.#put(job);
    return job.keeping;
  }

  async #put(job: AnchorJob): Promise<StoredCall> {
    const { inMemory } = job;
    if (inMemory === undefined) throw new AgentError('SPOOL_FAILED', 'the call is over');
    const isNotaryThere = !this.#env.presence.isAway && this.#failures === 0;
    if (isNotaryThere) job.after = this.#oldest > this.#barrier ? 0 : this.#barrier;
    else job.after = this.#queue.size === 0 ? 0 : this.#lastSequence;
    this.#enqueue(job, this.#lastSequence + 1);
    if (!isNotaryThere) this.#barrier = job.sequence;
    const { contentKey: key, leafCount, after } = job;
    const { clusterId, etcdRevision, requestId, givenRequestId, knownCheckpoint, packedLeaves } = inMemory;
    const takenAtMs = this.#env.now();
    const header = {
      ...{ clusterId, etcdRevision, requestId, givenRequestId, knownCheckpoint },
      ...{ contentKey: key, leafCount, after, takenAtMs },
    };
    try {
      const stored = await this.#env.spool.put(header, job.sequence, packedLeaves);
      job.stored = stored;
      if (!job.isTrying) job.release();
      return stored;
    } catch (error) {
      this.#queue.delete(job.sequence);
      job.sequence = 0;
      job.keeping = undefined;
      // A try that is under way may still bring it home.
      if (!job.isTrying) this.#end(job, () => job.refuseAll(spoolRefusal(error)));
      throw error;
    }
  }

  #enqueue(job: AnchorJob, sequence: number): void {
    job.sequence = sequence;
    this.#lastSequence = Math.max(this.#lastSequence, sequence);
    this.#jobs.set(job.contentKey, job);
    this.#queue.set(sequence, job);
  }

  async #giveUp(job: AnchorJob, caller: WaitingCaller): Promise<void> {
    if (caller.isDone) return;
    try {
      await this.#keep(job);
      job.isPromised = true;
      caller.refuse(spooled(job.requestId));
    } catch (error) {
      caller.refuse(spoolRefusal(error));
    }
    job.remove(caller);
    this.#noteOrphan(job);
    this.pump();
  }

  /** Nobody waits for it any more: whoever comes now, comes after it. */
  #noteOrphan(job: AnchorJob): void {
    if (job.callers.length === 0 && this.#queue.has(job.sequence)) {
      this.#barrier = Math.max(this.#barrier, job.sequence);
    }
  }

  // Tries

  async #tryInMemory(job: AnchorJob): Promise<void> {
    const { inMemory } = job;
    if (inMemory === undefined) return;
    job.isTrying = true;
    const { first, ...call } = inMemory;
    // Its own message has its own terms: another caller's may differ.
    await this.#try(job, call, job.callers[0] === first?.caller ? first?.message : undefined);
  }

  async #tryStored(job: AnchorJob): Promise<void> {
    if (job.stored === undefined) return;
    job.isTrying = true;
    let call: SpooledCall;
    try {
      call = await this.#env.spool.read(job.stored);
    } catch (error) {
      await this.#unreadable(job, job.stored, error);
      return;
    }
    await this.#try(job, job.withoutCheckpoint ? { ...call, knownCheckpoint: '' } : call, undefined);
  }

  async #try(job: AnchorJob, call: SpooledCall, message: Buffer | undefined): Promise<void> {
    const [caller] = job.callers;
    try {
      const answer = await this.#send(call, caller?.terms, message);
      await this.#anchored(job, call, caller, answer);
    } catch (error) {
      await this.#failed(job, caller, error);
    } finally {
      job.isTrying = false;
      if (job.stored !== undefined || !this.#jobs.has(job.contentKey)) job.release();
      this.pump();
    }
  }

  #send(call: SpooledCall, terms: CallerTerms | undefined, message: Buffer | undefined): Promise<Buffer> {
    const forBytesMs = (call.packedLeaves.length / 2 ** 20) * MS_FOR_A_MIB;
    const deadlineMs = this.#env.now() + this.#env.tryTimeoutMs + forBytesMs;
    // An earlier caller with the same leaves may have presented another checkpoint.
    const presented = terms === undefined ? call : { ...call, knownCheckpoint: terms.knownCheckpoint };
    return this.#env.exchange.send({ call: presented, message, terms, deadlineMs, signal: this.#env.signal });
  }

  async #anchored(
    job: AnchorJob,
    call: SpooledCall,
    caller: WaitingCaller | undefined,
    answer: Buffer,
  ): Promise<void> {
    this.#succeeded();
    const isTaken = caller !== undefined && !caller.isDone;
    caller?.answer(answer);
    await job.keeping?.catch(() => undefined);
    // What comes behind it may go.
    this.#queue.delete(job.sequence);
    this.pump();
    let isRemembered = true;
    if (job.stored !== undefined || job.callers.length > 0 || !isTaken) {
      isRemembered = await this.#remember(job);
    }
    // Some may come while others are answered.
    while (job.callers.length > 0) {
      await Promise.all(job.callers.map((other) => this.#repeat(job, call, other)));
    }
    if (job.stored !== undefined && isRemembered)
      await this.#env.spool.remove(job.stored).catch(() => undefined);
    this.#end(job);
  }

  /** The same call for somebody else who waits for it: in the terms of that caller, and answered as a replay. */
  async #repeat(job: AnchorJob, call: SpooledCall, caller: WaitingCaller): Promise<void> {
    try {
      caller.answer(await this.#send(call, caller.terms, undefined));
    } catch (error) {
      const isAway = !(error instanceof VerificationError) && isDown(judge(error));
      caller.refuse(isAway ? spooled(job.requestId) : this.#statusOf(error));
    }
    job.remove(caller);
  }

  async #remember(job: AnchorJob): Promise<boolean> {
    try {
      await this.#env.spool.remember(job.contentKey, job.requestId);
      return true;
    } catch {
      // It stays in the spool then: the next process sends it again, and finds its anchor.
      return false;
    }
  }

  // Failures

  async #failed(job: AnchorJob, caller: WaitingCaller | undefined, error: unknown): Promise<void> {
    // The agent is stopping, and has told all callers.
    if (this.#env.signal.aborted) return;
    if (error instanceof VerificationError) {
      this.#alarm(job, error);
      this.#tellAndWait(job, error, AFTER_ALARM_MS);
      return;
    }
    const judgement = judge(error);
    switch (judgement.kind) {
      case 'retry':
        await this.#notNow(job, error, judgement);
        return;
      case 'data-loss':
        this.#alarm(job, error);
        this.#tellAndWait(job, error, Math.max(AFTER_ALARM_MS, judgement.delayMs ?? 0));
        return;
      case 'known-checkpoint-refused':
        this.#checkpointRefused(job, caller, error);
        return;
      case 'too-big':
      case 'refused':
        await this.#refused(job, error, judgement);
    }
  }

  async #notNow(job: AnchorJob, error: unknown, judgement: Judgement & { kind: 'retry' }): Promise<void> {
    const isClusters = statusDetails(error)?.reason === 'CLUSTER_RECOVERING';
    if (judgement.isDown && !isClusters) this.#env.notaryFailed(judgement.status, judgement.message);
    else this.#env.notaryAnswered();
    // The notary is there, and has something to say that passes: its caller hears it, as without an agent.
    if (!judgement.isDown && job.keeping === undefined) {
      this.#end(job, () => job.refuseAll(passedBack(error)));
      return;
    }
    if (!judgement.isDown && this.#failures === 0) {
      const { clusterId } = job.content;
      const { status: name, message } = judgement;
      this.#env.log.warn(
        { clusterId, status: name, reason: message },
        'the notary does not take spooled calls now',
      );
    }
    this.#wait(judgement.delayMs);
    job.isTrying = false;
    await this.#keep(job).catch(() => undefined);
  }

  /** Callers are told; what is in the spool stays there, and goes again later. */
  #tellAndWait(job: AnchorJob, error: unknown, delayMs: number): void {
    job.refuseAll(this.#statusOf(error));
    if (job.keeping === undefined) this.#end(job);
    else this.#wait(delayMs);
  }

  #checkpointRefused(job: AnchorJob, caller: WaitingCaller | undefined, error: unknown): void {
    this.#succeeded();
    caller?.refuse(passedBack(error));
    job.withoutCheckpoint = true;
    if (job.callers.length === 0 && !job.isPromised && caller !== undefined) {
      this.#end(job);
      return;
    }
    // The leaves are none the worse.
    void this.#keep(job).catch(() => undefined);
  }

  async #refused(
    job: AnchorJob,
    error: unknown,
    { refusal }: Judgement & { kind: 'too-big' | 'refused' },
  ): Promise<void> {
    this.#succeeded();
    await job.keeping?.catch(() => undefined);
    const { stored } = job;
    if (job.callers.length === 0 && stored !== undefined) {
      await this.#env.spool.bury(stored, refusal);
      const { clusterId } = job.content;
      const { requestId, leafCount } = job;
      this.#env.log.error(
        { clusterId, requestId, leafCount, refusal },
        'the notary refused a call that nobody waits for: it is in the dead letters',
      );
    } else if (stored !== undefined) {
      await this.#env.spool.remove(stored).catch(() => undefined);
    }
    this.#end(job, () => job.refuseAll(passedBack(error)));
  }

  async #unreadable(job: AnchorJob, stored: StoredCall, error: unknown): Promise<void> {
    job.isTrying = false;
    if (!(error instanceof AgentError) || error.code !== 'SPOOL_DAMAGED') {
      this.#wait(undefined);
      return;
    }
    const file = await this.#env.spool.setAside(stored).catch(() => stored.path);
    this.#env.log.error({ file, err: error }, 'a call in the spool is damaged and was put aside');
    this.#end(job, () => job.refuseAll(agentStatus('SPOOL_FAILED', 'what was kept of the call is damaged')));
    this.pump();
  }

  #statusOf(error: unknown) {
    return error instanceof VerificationError
      ? agentStatus(
          'ANSWER_NOT_VERIFIED',
          `the notary's answer is not verified: ${error.code}: ${error.message}`,
        )
      : passedBack(error);
  }

  #alarm(job: AnchorJob, error: unknown): void {
    const { clusterId } = job.content;
    this.#env.log.error(
      { alarm: true, clusterId, requestId: job.requestId, err: error },
      'the notary contradicts its own log, or says that it lost data: nothing of this cluster is reported as anchored until somebody acts',
    );
    this.#isAlarmed = true;
  }

  #end(job: AnchorJob, tell: () => void = () => {}): void {
    if (this.#jobs.get(job.contentKey) === job) this.#jobs.delete(job.contentKey);
    this.#queue.delete(job.sequence);
    tell();
    if (!job.isTrying) job.release();
    if (this.#jobs.size === 0) {
      this.close();
      this.#onIdle();
    }
  }

  // When

  #succeeded(): void {
    this.#failures = 0;
    this.#opensAtMs = 0;
    this.#isAlarmed = false;
    this.#env.notaryAnswered();
  }

  #wait(askedMs: number | undefined): void {
    if (this.#isClosed) return;
    const { minDelayMs, maxDelayMs } = this.#env.backoff;
    const mostMs = Math.min(maxDelayMs, minDelayMs * 2 ** Math.min(this.#failures, 30));
    const delayMs = (askedMs ?? 0) + this.#env.random() * mostMs;
    this.#failures++;
    this.#opensAtMs = this.#env.now() + delayMs;
    this.#cancelTimer?.();
    this.#cancelTimer = this.#env.after(delayMs, () => {
      this.#opensAtMs = 0;
      this.pump();
    });
  }
}

function isDown(judgement: Judgement): boolean {
  return judgement.kind === 'retry' && judgement.isDown;
}
