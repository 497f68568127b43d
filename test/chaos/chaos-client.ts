import { setTimeout as delay } from 'node:timers/promises';
import { type CarefulCaller, leavesNamed } from '../integration/careful-caller.ts';
import type { CallLog } from './call-log.ts';
import type { Random } from './random.ts';
import { type AnsweredSubmission, RecordedCalls, type Submission } from './recorded-calls.ts';

/** How clients differ. */
export interface Habits {
  readonly usesRequestIds: boolean;
  /** Presents the newest checkpoint that it has verified. */
  readonly carriesCheckpoint: boolean;
  /** undefined: waits for as long as it takes, as the first gateways do. */
  readonly deadlineMs: number | undefined;
  /** Connects anew after every error. */
  readonly dropsChannel: boolean;
  /** How often it writes to the hot cluster rather than to any of the others. */
  readonly hotShare: number;
}

export interface ChaosClientOptions {
  readonly name: string;
  readonly random: Random;
  readonly habits: Habits;
  readonly addresses: readonly string[];
  /** The first is the hot cluster's. */
  readonly callers: readonly CarefulCaller[];
  readonly log: CallLog;
}

/** Retries come soon, as those of a client in a hurry. */
const RETRY_MS = [30, 400] as const;
const PAUSE_MS = [0, 25] as const;
/** Above 256 KiB, which are stored before they are anchored. */
const BIG_BATCH = 8_300;
const BIG_SHARE = 0.005;
/** How often something is sent again that was answered long ago. */
const REPLAY_SHARE = 0.15;
/** How often two replicas of a gateway send the same at once. */
const TWICE_SHARE = 0.1;
const REMEMBERED = 200;
/** How long a server that failed is left alone, where there are others. */
const AVOID_MS = 1_500;
/** How often a receipt is asked for between two submissions. */
const PROOF_SHARE = 0.15;
const PROOF_DEADLINE_MS = 2_000;

/** A gateway: one submission after the other, each sent again, to any server, until it is answered. */
export class ChaosClient {
  readonly #options: ChaosClientOptions;
  readonly #calls: RecordedCalls;
  /** By server, on the monotonic clock. */
  readonly #avoidedUntil: number[];
  readonly #answered: AnsweredSubmission[] = [];
  readonly #end = new AbortController();
  #isStopping = false;
  #submissions = 0;
  #pendingAttempts = 0;
  #answers = 0;
  #onAnswer = () => {};
  #running: Promise<void> = Promise.resolve();

  constructor(options: ChaosClientOptions) {
    this.#options = options;
    this.#calls = new RecordedCalls(options.name, options.addresses, options.log);
    this.#avoidedUntil = options.addresses.map(() => 0);
  }

  start(): void {
    this.#running = this.#run();
  }

  /** Resolves when it has had so many answers. */
  async whenAnswered(count: number): Promise<void> {
    const answered = async () => {
      while (this.#answers < count) {
        await new Promise<void>((resolve) => {
          this.#onAnswer = resolve;
        });
      }
    };
    await Promise.race([answered(), this.#running]);
  }

  /** Takes no new submission; resolves when the one in hand is answered. */
  async finish(): Promise<void> {
    this.#isStopping = true;
    await this.#running;
    this.#calls.close();
  }

  /** Gives up what is in hand, and says so in the log. */
  async giveUp(): Promise<void> {
    if (this.#pendingAttempts > 0) {
      const { name, log } = this.#options;
      log.write({ type: 'pending', at: Date.now(), client: name, attempts: this.#pendingAttempts });
    }
    this.#end.abort();
    await this.finish();
  }

  async #run(): Promise<void> {
    const { random } = this.#options;
    while (!this.#isStopping) {
      const submission = this.#nextSubmission();
      this.#pendingAttempts = 1;
      while (!(await this.#submit(submission))) {
        if (this.#end.signal.aborted) return;
        this.#pendingAttempts++;
        await delay(random.between(...RETRY_MS));
      }
      this.#pendingAttempts = 0;
      this.#answers++;
      this.#onAnswer();
      if (random.chance(PROOF_SHARE)) await this.#prove();
      await delay(random.between(...PAUSE_MS));
    }
  }

  #nextSubmission(): Submission {
    const { name, random, habits, callers } = this.#options;
    if (habits.usesRequestIds && this.#answered.length > 0 && random.chance(REPLAY_SHARE))
      return random.pick(this.#answered);
    const [hot, ...others] = callers;
    const count = random.chance(BIG_SHARE) ? BIG_BATCH : random.between(1, 3);
    return {
      caller: random.chance(habits.hotShare) ? hot! : random.pick(others),
      requestId: habits.usesRequestIds ? random.uuid() : undefined,
      packedLeaves: leavesNamed(`${name}/${this.#submissions++}`, count),
    };
  }

  /** One attempt, or two at once. @returns whether there is an answer */
  async #submit(submission: Submission): Promise<boolean> {
    const { random } = this.#options;
    const isAvoided = (server: number) => performance.now() < this.#avoidedUntil[server]!;
    const servers = random
      .shuffled(this.#calls.servers)
      .sort((a, b) => Number(isAvoided(a)) - Number(isAvoided(b)));
    const count = submission.requestId !== undefined && random.chance(TWICE_SHARE) ? 2 : 1;
    const answers = await Promise.all(
      servers.slice(0, count).map((server) => this.#attempt(server, submission)),
    );
    return answers.includes(true);
  }

  async #attempt(server: number, submission: Submission): Promise<boolean> {
    const { habits } = this.#options;
    const { carriesCheckpoint, deadlineMs: timeoutMs } = habits;
    const options = { carriesCheckpoint, timeoutMs, signal: this.#end.signal };
    const answered = await this.#calls.anchor(server, submission, options);
    if (answered === undefined) {
      this.#avoidedUntil[server] = performance.now() + AVOID_MS;
      if (habits.dropsChannel) this.#calls.connectAnew(server);
      return false;
    }
    this.#answered.push(answered);
    if (this.#answered.length > REMEMBERED) this.#answered.shift();
    return true;
  }

  /** No matter if none comes. */
  async #prove(): Promise<void> {
    const { random } = this.#options;
    const answered = random.pick(this.#answered);
    const leafIndex = random.between(0, answered.packedLeaves.length / 32 - 1);
    const server = random.pick(this.#calls.servers);
    await this.#calls.prove(server, answered, leafIndex, {
      signal: this.#end.signal,
      timeoutMs: PROOF_DEADLINE_MS,
    });
  }
}
