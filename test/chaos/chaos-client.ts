import { setTimeout as delay } from 'node:timers/promises';
import { type ServiceError, status } from '@grpc/grpc-js';
import { type CreateAnchorResponse, QuartermasterNotary } from '#gen/quartermaster/v1/notary_pb.js';
import { fastHasher } from '../../src/merkle/fast.ts';
import { hashBatch } from '../../src/merkle/index.ts';
import { createClient } from '../../src/rpc/client.ts';
import { statusDetails } from '../../src/rpc/status-details.ts';
import type { VerifiedCheckpoint } from '../../src/verify/index.ts';
import { type CarefulCaller, leavesNamed } from '../integration/careful-caller.ts';
import type { NotaryClient } from '../integration/notary-under-test.ts';
import type { CallLog } from './call-log.ts';
import type { Random } from './random.ts';

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

interface Submission {
  readonly caller: CarefulCaller;
  readonly requestId: string | undefined;
  readonly packedLeaves: Uint8Array;
}

/** Retries come soon, as those of a client in a hurry. */
const RETRY_MS = [30, 400] as const;
const PAUSE_MS = [0, 25] as const;
/** Above 256 KiB, which are stored before they are anchored. */
const BIG_BATCH = 8_300;
const REMEMBERED = 200;
/** How long a server that failed is left alone, where there are others. */
const AVOID_MS = 1_500;

/** A gateway: one submission after the other, each sent again, to any server, until it is answered. */
export class ChaosClient {
  readonly #options: ChaosClientOptions;
  readonly #channels: NotaryClient[];
  /** By server, on the monotonic clock. */
  readonly #avoidedUntil: number[];
  readonly #known = new Map<string, VerifiedCheckpoint>();
  readonly #answered: Submission[] = [];
  readonly #end = new AbortController();
  #isStopping = false;
  #submissions = 0;
  #calls = 0;
  #pendingAttempts = 0;
  #answers = 0;
  #onAnswer = () => {};
  #running: Promise<void> | undefined;

  constructor(options: ChaosClientOptions) {
    this.#options = options;
    this.#channels = options.addresses.map(connect);
    this.#avoidedUntil = options.addresses.map(() => 0);
  }

  start(): void {
    this.#running = this.#run();
  }

  /** Resolves when it has had so many answers. */
  async whenAnswered(count: number): Promise<void> {
    while (this.#answers < count) {
      await new Promise<void>((resolve) => {
        this.#onAnswer = resolve;
      });
    }
  }

  /** Takes no new submission; resolves when the one in hand is answered. */
  async finish(): Promise<void> {
    this.#isStopping = true;
    await this.#running;
    for (const channel of this.#channels) channel.close();
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
      this.#remember(submission);
      await delay(random.between(...PAUSE_MS));
    }
  }

  #nextSubmission(): Submission {
    const { name, random, habits, callers } = this.#options;
    // One that was answered long ago is still answered the same.
    if (this.#answered.length > 0 && random.chance(0.15)) return random.pick(this.#answered);
    const [hot, ...others] = callers;
    const count = random.chance(0.005) ? BIG_BATCH : random.between(1, 3);
    return {
      caller: random.chance(habits.hotShare) ? hot! : random.pick(others),
      requestId: habits.usesRequestIds ? random.uuid() : undefined,
      packedLeaves: leavesNamed(`${name}/${this.#submissions++}`, count),
    };
  }

  #remember(submission: Submission): void {
    if (submission.requestId === undefined) return;
    this.#answered.push(submission);
    if (this.#answered.length > REMEMBERED) this.#answered.shift();
  }

  /** One attempt, or two at once with one request_id, as of two replicas of a gateway. @returns whether there is an answer */
  async #submit(submission: Submission): Promise<boolean> {
    const { random } = this.#options;
    const isAvoided = (server: number) => performance.now() < this.#avoidedUntil[server]!;
    const servers = random
      .shuffled(this.#channels.map((_, i) => i))
      .sort((a, b) => Number(isAvoided(a)) - Number(isAvoided(b)));
    const count = submission.requestId !== undefined && random.chance(0.1) ? 2 : 1;
    const answers = await Promise.all(
      servers.slice(0, count).map((server) => this.#attempt(server, submission)),
    );
    return answers.includes(true);
  }

  async #attempt(server: number, submission: Submission): Promise<boolean> {
    const { name, habits, log } = this.#options;
    const { caller, requestId, packedLeaves } = submission;
    const { clusterId } = caller;
    const known = habits.carriesCheckpoint ? this.#known.get(clusterId) : undefined;
    const call = `${name}/${this.#calls++}`;
    log.write({
      type: 'sent',
      at: Date.now(),
      call,
      client: name,
      server,
      clusterId,
      requestId: requestId ?? null,
      root: hex(hashBatch(fastHasher, packedLeaves).root),
      leafCount: packedLeaves.length / 32,
      knownCheckpoint: known?.checkpoint ?? null,
    });
    try {
      const response = await this.#channels[server]!.createAnchor(
        {
          clusterId,
          packedLeaves,
          ...(requestId === undefined ? {} : { requestId }),
          ...(known === undefined ? {} : { knownCheckpoint: known.checkpoint }),
        },
        { signal: this.#end.signal, timeoutMs: habits.deadlineMs },
      );
      this.#takeAnswer(call, response, submission, known);
      return true;
    } catch (error) {
      this.#takeError(call, error);
      this.#avoidedUntil[server] = performance.now() + AVOID_MS;
      if (habits.dropsChannel) this.#connectAnew(server);
      return false;
    }
  }

  #takeAnswer(
    call: string,
    response: CreateAnchorResponse,
    { caller, requestId, packedLeaves }: Submission,
    known: VerifiedCheckpoint | undefined,
  ): void {
    let refusal: string | null = null;
    try {
      const options = {
        ...(requestId === undefined ? {} : { requestId }),
        ...(known === undefined ? {} : { known }),
      };
      const { checkpoint } = caller.verifyAnchor(response, packedLeaves, options);
      const newest = this.#known.get(caller.clusterId);
      if (newest === undefined || newest.size < checkpoint.size)
        this.#known.set(caller.clusterId, checkpoint);
    } catch (error) {
      refusal = (error as Error).message;
    }
    const { anchorId, replayed, checkpoint } = response;
    this.#options.log.write({
      type: 'answered',
      at: Date.now(),
      call,
      anchorId,
      logIndex: Number(response.logIndex),
      replayed,
      record: Buffer.from(response.record).toString('base64'),
      checkpoint,
      refusal,
    });
  }

  #takeError(call: string, error: unknown): void {
    const { code, details, message } = error as ServiceError;
    this.#options.log.write({
      type: 'failed',
      at: Date.now(),
      call,
      code: status[code] ?? 'NO_STATUS',
      reason: statusDetails(error)?.reason ?? '',
      message: details ?? message,
    });
  }

  #connectAnew(server: number): void {
    this.#channels[server]!.close();
    this.#channels[server] = connect(this.#options.addresses[server]!);
  }
}

function connect(address: string): NotaryClient {
  return createClient(QuartermasterNotary, address, undefined, {
    // A connection of its own, and back soon.
    'grpc.use_local_subchannel_pool': 1,
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.min_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 500,
  });
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
