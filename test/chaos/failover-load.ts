import { randomUUID } from 'node:crypto';
import { status } from '@grpc/grpc-js';
import { expect } from '@jest/globals';
import { type Anchored, type CarefulCaller, leavesNamed } from '../integration/careful-caller.ts';
import type { Clients } from '../integration/notary-under-test.ts';

interface Answered extends Anchored {
  readonly requestId: string;
}

/** Callers that verify every answer, and send the same request again for as long as they are told to. */
export class FailoverLoad {
  readonly answered: Answered[] = [];
  /** Calls that were sent more than once. */
  resent = 0;
  readonly #caller: CarefulCaller;
  readonly #running: Promise<unknown>;
  #isStopping = false;
  #wake = () => {};

  /** @param callers for each server */
  constructor(servers: readonly Clients[], caller: CarefulCaller, callers: number) {
    this.#caller = caller;
    const all = servers.flatMap((server) => Array.from({ length: callers }, () => this.#run(server)));
    this.#running = Promise.all(all);
    this.#running.catch(() => {});
  }

  /** Resolves in the middle of it. */
  async whenAnswered(count: number): Promise<void> {
    const reached = async () => {
      while (this.answered.length < count) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    };
    await Promise.race([reached(), this.#running]);
  }

  /** Resolves when every call has been answered. @throws what was neither an answer nor "come again" */
  async stop(): Promise<void> {
    this.#isStopping = true;
    await this.#running;
  }

  /** Each has its place, and keeps it: whoever asks again gets the first answer. */
  async expectKept(clients: Clients): Promise<void> {
    const indexes = this.answered.map(({ verified }) => verified.logIndex);
    expect(new Set(indexes).size).toBe(indexes.length);
    await Promise.all(
      this.answered.map(async ({ requestId, packedLeaves, response }) => {
        const again = await this.#caller.anchor(clients, packedLeaves, { requestId });
        expect(again.response).toMatchObject({ replayed: true, record: response.record });
      }),
    );
  }

  async #run(clients: Clients): Promise<void> {
    while (!this.#isStopping) {
      const requestId = randomUUID();
      const packedLeaves = leavesNamed(requestId, 2);
      const anchored = await this.#untilAnswered(clients, packedLeaves, requestId);
      this.answered.push({ requestId, ...anchored });
      this.#wake();
    }
  }

  async #untilAnswered(clients: Clients, packedLeaves: Uint8Array, requestId: string): Promise<Anchored> {
    for (;;) {
      try {
        return await this.#caller.anchor(clients, packedLeaves, { requestId });
      } catch (error) {
        if ((error as { readonly code?: unknown }).code !== status.UNAVAILABLE) throw error;
        this.resent++;
        // Not at once: a server that has lost its database refuses hundreds of calls a second.
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  }
}
