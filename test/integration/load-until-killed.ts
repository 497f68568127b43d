import { randomUUID } from 'node:crypto';
import type { ServiceError } from '@grpc/grpc-js';
import { status } from '@grpc/grpc-js';
import { expect } from '@jest/globals';
import type { TestDatabase } from '../support/database.ts';
import { type Anchored, type CarefulCaller, leavesNamed } from './careful-caller.ts';
import type { Clients } from './notary-under-test.ts';

interface Submitted {
  readonly requestId: string;
  readonly packedLeaves: Uint8Array;
}

/** Callers that send one anchor after the other, each with a request id, until a call fails. */
export class LoadUntilKilled {
  readonly answered: (Submitted & Anchored)[] = [];
  /** Calls whose end their callers do not know. */
  readonly unanswered: (Submitted & { readonly code: string | undefined })[] = [];
  readonly #caller: CarefulCaller;
  readonly #done: Promise<unknown>;
  #wake: (() => void) | undefined;

  constructor(clients: Clients, caller: CarefulCaller, inFlight: number) {
    this.#caller = caller;
    this.#done = Promise.all(Array.from({ length: inFlight }, () => this.#run(clients)));
  }

  /** Resolves in the middle of the load. */
  async whenAnswered(count: number): Promise<void> {
    while (this.answered.length < count) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Resolves when every caller has had its first failure. */
  async ended(): Promise<void> {
    await this.#done;
  }

  /** What was answered is there; what was not answered can be sent again, and is then there once. */
  async expectNothingLost(clients: Clients, database: TestDatabase, seed: Uint8Array): Promise<void> {
    const caller = this.#caller;
    for (const { requestId, packedLeaves, response } of this.answered) {
      const again = await caller.anchor(clients, packedLeaves, { requestId });
      expect(again.response).toMatchObject({ replayed: true, record: response.record });
    }
    const resent = await Promise.all(
      this.unanswered.map(({ requestId, packedLeaves }) =>
        caller.anchor(clients, packedLeaves, { requestId }),
      ),
    );
    const indexes = [...this.answered, ...resent].map(({ verified }) => verified.logIndex);
    const { finding, entries } = await caller.fsck(database.storage, seed);
    expect({ finding, entries }).toEqual({ finding: undefined, entries: indexes.length });
    expect(indexes.sort((a, b) => a - b)).toEqual(indexes.map((_, i) => i));
    // The log that goes on is the one that was shown before.
    const known = this.answered.at(-1)!.verified.checkpoint;
    await caller.anchor(clients, leavesNamed('one more'), { known });
  }

  async #run(clients: Clients): Promise<void> {
    for (;;) {
      const requestId = randomUUID();
      const packedLeaves = leavesNamed(requestId, 3);
      try {
        const anchored = await this.#caller.anchor(clients, packedLeaves, { requestId });
        this.answered.push({ requestId, ...anchored });
        this.#wake?.();
      } catch (error) {
        this.unanswered.push({ requestId, packedLeaves, code: status[(error as ServiceError).code] });
        return;
      }
    }
  }
}
