import { randomUUID } from 'node:crypto';
import { expect } from '@jest/globals';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';
import { type Anchored, CarefulCaller, leavesNamed } from './careful-caller.ts';
import { type NotaryUnderTest, startNotary } from './notary-under-test.ts';

export const MAX_LEAF_COUNT = 20_000;
export const MAX_MESSAGE_BYTES = 1_000_000;

/** A log that is anchored to at first, and then only called badly. */
export interface UntouchedLog {
  readonly database: TestDatabase;
  readonly server: NotaryUnderTest;
  readonly caller: CarefulCaller;
  /** Anchor of three leaves, `leavesNamed('first', 3)`, made with `requestId`. */
  readonly first: Anchored;
  readonly requestId: string;
  /** Another log, for good calls. */
  readonly witness: CarefulCaller;
  /** Nothing was written to the log, and the server serves its next caller. */
  expectUntouched(): Promise<void>;
  stop(): Promise<void>;
}

export async function startUntouchedLog(): Promise<UntouchedLog> {
  const database = await openTestDatabase();
  const limits = { maxLeafCount: MAX_LEAF_COUNT, maxMessageBytes: MAX_MESSAGE_BYTES };
  const server = await startNotary({ databaseUrl: database.databaseUrl, limits });
  const caller = await CarefulCaller.ofNewCluster(server, server.seed);
  const witness = await CarefulCaller.ofNewCluster(server, server.seed);
  const requestId = randomUUID();
  const first = await caller.anchor(server, leavesNamed('first', 3), { requestId });
  // So that the first one's checkpoint is not the newest, which is believed without a look at its signature.
  await caller.anchor(server, leavesNamed('second'));

  const everything = async () => ({
    cluster: await database.storage.readCluster(caller.clusterId),
    entries: await database.storage.listEntries(caller.clusterId, 0, 1000),
    heads: await database.storage.listHeads(caller.clusterId, undefined, 1000),
  });
  const untouched = await everything();
  return {
    database,
    server,
    caller,
    first,
    requestId,
    witness,
    expectUntouched: async () => {
      expect(await everything()).toEqual(untouched);
      await witness.anchor(server, leavesNamed('the next caller'));
    },
    stop: async () => {
      await server.stop();
      await database.close();
    },
  };
}
