// The calls of one cluster on their way to the notary.

import { type Judgement, judge } from '../gateway/refusal.ts';
import { statusDetails } from '../rpc/status-details.ts';
import { VerificationError } from '../verify/index.ts';
import { AnchorJob, type CallInMemory } from './anchor-job.ts';
import type { StoredCall } from './call-files.ts';
import { contentKey } from './content-key.ts';
import { AgentError } from './error.ts';
import type { LaneEnvironment } from './lane-environment.ts';
import { logAlarm, logBuried, logHeld } from './lane-log.ts';
import { LanePace } from './lane-pace.ts';
import { LaneQueue } from './lane-queue.ts';
import type { SpooledCall } from './spooled-call.ts';
import { agentStatus, passedBack, spooled, spoolRefusal, statusOfFailure } from './status.ts';
import type { CallerTerms, WaitingCaller } from './waiting-caller.ts';

/** Spooled calls on their way at once, where none has to wait for another. */
const MAX_TRIES = 16;
const LEAF_BYTES = 32;
/** A notary on a slow disk takes that long at most: with less it would be asked again and again for what it is at. */
const MS_FOR_A_MIB = 1_000;
/** After evidence against the notary somebody has to act first. */
const AFTER_ALARM_MS = 60_000;

/** Each call is a job from its coming to its end: tried at once, or put into the spool and tried when its turn comes. */
export class ClusterLane {
  readonly #env: LaneEnvironment;
  readonly #onIdle: () => void;
  readonly #pace: LanePace;
  readonly #queue = new LaneQueue();
  /** all, by content */
  readonly #jobs = new Map<string, AnchorJob>();
  /** The notary has something against the calls of this cluster, and it was said. */
  #isHeld = false;

  /** @param onIdle told when nothing is left to be known of the cluster */
  constructor(environment: LaneEnvironment, onIdle: () => void) {
    this.#env = environment;
    this.#onIdle = onIdle;
    this.#pace = new LanePace(environment, () => this.pump());
  }

  /** Takes up what an earlier process left, oldest first. */
  restore(calls: readonly StoredCall[]): void {
    for (const stored of calls) {
      const job = AnchorJob.fromDisk(stored);
      this.#jobs.set(job.contentKey, job);
      this.#queue.restore(job);
    }
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
      this.#noteLeft(job);
    };
  }

  /** A call that was refused once goes again, without the checkpoint that it came with. */
  async revive(call: SpooledCall): Promise<void> {
    const key = contentKey(call);
    if (this.#jobs.has(key)) return;
    const leafCount = call.packedLeaves.length / LEAF_BYTES;
    const job = new AnchorJob(key, { ...call, leafCount });
    job.isPromised = true;
    job.inMemory = { ...call, knownCheckpoint: '', first: undefined, release: () => {} };
    this.#jobs.set(key, job);
    await this.#keep(job);
  }

  /** The notary is back: does not wait any longer. */
  wake(): void {
    this.#pace.wake();
  }

  /** Starts whatever may start now. */
  pump(): void {
    if (this.#env.signal.aborted || !this.#pace.isOpen) return;
    // One try finds out whether the notary is back.
    for (const job of this.#queue.startable(this.#pace.isFailing ? 1 : MAX_TRIES)) {
      if (job.isTrying) continue;
      const bytes = job.leafCount * LEAF_BYTES;
      if (!this.#env.takeMemory(bytes, this)) return;
      void this.#tryStored(job).finally(() => this.#env.giveMemory(bytes));
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
    this.#pace.close();
  }

  get #isNotaryThere(): boolean {
    return !this.#env.presence.isAway && !this.#pace.isFailing;
  }

  #begin(key: string, call: Omit<CallInMemory, 'requestId'>): AnchorJob {
    const known = this.#env.spool.anchoredAs(key);
    const requestId = call.givenRequestId ?? known ?? this.#env.newRequestId();
    const job = new AnchorJob(key, { ...call, requestId, leafCount: call.packedLeaves.length / LEAF_BYTES });
    job.inMemory = { ...call, requestId };
    this.#jobs.set(key, job);
    // What is anchored already waits for nothing.
    const mayGoAtOnce = this.#isNotaryThere && (known !== undefined || !this.#queue.hasPrecedence);
    if (mayGoAtOnce) queueMicrotask(() => void this.#tryInMemory(job));
    else void this.#keep(job).catch(() => undefined);
    return job;
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
    this.#queue.add(job, this.#isNotaryThere);
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
      queueMicrotask(() => this.pump());
      return stored;
    } catch (error) {
      this.#queue.remove(job);
      job.keeping = undefined;
      this.#notKept(job, error);
      throw error;
    }
  }

  #notKept(job: AnchorJob, error: unknown): void {
    // A try that is under way may still bring it home.
    if (job.isTrying) return;
    // Nothing else may ask whether the notary is back.
    if (!job.wasTried && this.#queue.isEmpty) queueMicrotask(() => void this.#tryInMemory(job));
    else this.#end(job, () => job.refuseAll(spoolRefusal(error)));
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
    this.#noteLeft(job);
    this.pump();
  }

  #noteLeft(job: AnchorJob): void {
    if (job.callers.length === 0) this.#queue.left(job);
  }

  // Tries

  async #tryInMemory(job: AnchorJob): Promise<void> {
    const { inMemory } = job;
    if (inMemory === undefined) return;
    job.isTrying = true;
    job.wasTried = true;
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
      await this.#failed(job, caller, error).catch((cause: unknown) => {
        // The spool could not be written, and has said so: what is in it goes again.
        this.#env.log.error({ err: cause }, 'a call that failed could not be dealt with');
        this.#pace.failed(0, false);
      });
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
    this.#queue.remove(job);
    this.pump();
    let isRemembered = true;
    if (job.stored !== undefined || job.callers.length > 0 || !isTaken) {
      isRemembered = await this.#remember(job);
    }
    // Some may come while others are answered.
    while (job.callers.length > 0) {
      await Promise.all(job.callers.map((other) => this.#repeat(job, call, other)));
    }
    // One of them may have had so little time that the call went to disk meanwhile.
    const stored = await job.keeping?.catch(() => undefined);
    if (stored !== undefined && isRemembered) await this.#env.spool.remove(stored).catch(() => undefined);
    this.#end(job);
  }

  /** The same call for somebody else who waits for it: in the terms of that caller, and answered as a replay. */
  async #repeat(job: AnchorJob, call: SpooledCall, caller: WaitingCaller): Promise<void> {
    try {
      caller.answer(await this.#send(call, caller.terms, undefined));
    } catch (error) {
      const isAway = !(error instanceof VerificationError) && isDown(judge(error));
      caller.refuse(isAway ? spooled(job.requestId) : statusOfFailure(error));
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
      logAlarm(this.#env.log, job, error);
      this.#tellAndWait(job, error, AFTER_ALARM_MS);
      return;
    }
    const judgement = judge(error);
    switch (judgement.kind) {
      case 'retry':
        await this.#notNow(job, error, judgement);
        return;
      case 'data-loss':
        logAlarm(this.#env.log, job, error);
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
    if (!judgement.isDown && !this.#isHeld) {
      this.#isHeld = true;
      logHeld(this.#env.log, job, judgement);
    }
    this.#pace.failed(judgement.delayMs ?? 0, judgement.delayMs === undefined);
    job.isTrying = false;
    await this.#keep(job).catch(() => undefined);
  }

  /** Callers are told; what is in the spool stays there, and goes again later. */
  #tellAndWait(job: AnchorJob, error: unknown, delayMs: number): void {
    job.refuseAll(statusOfFailure(error));
    if (job.keeping === undefined) this.#end(job);
    else this.#pace.failed(delayMs, false);
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
      logBuried(this.#env.log, job, refusal);
    } else if (stored !== undefined) {
      await this.#env.spool.remove(stored).catch(() => undefined);
    }
    this.#end(job, () => job.refuseAll(passedBack(error)));
  }

  async #unreadable(job: AnchorJob, stored: StoredCall, error: unknown): Promise<void> {
    job.isTrying = false;
    if (!(error instanceof AgentError) || error.code !== 'SPOOL_DAMAGED') {
      this.#pace.failed(0, false);
      return;
    }
    const file = await this.#env.spool.setAside(stored).catch(() => stored.path);
    this.#env.log.error({ file, err: error }, 'a call in the spool is damaged and was put aside');
    this.#end(job, () => job.refuseAll(agentStatus('SPOOL_FAILED', 'what was kept of the call is damaged')));
    this.pump();
  }

  #end(job: AnchorJob, tell: () => void = () => {}): void {
    if (this.#jobs.get(job.contentKey) === job) this.#jobs.delete(job.contentKey);
    this.#queue.remove(job);
    tell();
    if (!job.isTrying) job.release();
    if (this.#jobs.size === 0) {
      this.close();
      this.#onIdle();
    }
  }

  #succeeded(): void {
    this.#isHeld = false;
    this.#pace.succeeded();
    this.#env.notaryAnswered();
  }
}

function isDown(judgement: Judgement): boolean {
  return judgement.kind === 'retry' && judgement.isDown;
}
