import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import { expect } from '@jest/globals';
import { ClusterState } from '#gen/quartermaster/v1/registry_pb.js';
import { type Anchored, CarefulCaller, leavesNamed } from '../integration/careful-caller.ts';
import { type Clients, ORIGIN_PREFIX } from '../integration/notary-under-test.ts';
import {
  type ServerProcess,
  type ServerProcessOptions,
  startServerProcess,
} from '../integration/server-process.ts';
import { failure } from '../server/edge.ts';
import { withClient } from '../support/postgres-template.ts';
import { eventually } from '../support/postgres-waits.ts';
import { rootsOf } from './log-roots.ts';
import { ReplicatedPostgres } from './replicated-postgres.ts';
import { SIGNATURES_FILE } from './server-environment.ts';
import { readSignatures, signaturesFile } from './signature-log.ts';

const RECORDING = join(import.meta.dirname, 'serve-recording-signatures.ts');

/** Replicated Postgres, and real servers that reach it by an address which moves. */
export class FailoverStage {
  readonly postgres: ReplicatedPostgres;
  readonly seed = new Uint8Array(randomBytes(32));
  readonly #servers: ServerProcess[] = [];
  readonly #signatures: string;

  private constructor(postgres: ReplicatedPostgres, signatures: string) {
    this.postgres = postgres;
    this.#signatures = signatures;
  }

  static async set(): Promise<FailoverStage> {
    const postgres = await ReplicatedPostgres.start();
    return new FailoverStage(postgres, await mkdtemp(join(tmpdir(), 'quartermaster-signatures-')));
  }

  async startServer(
    options: Pick<ServerProcessOptions, 'program' | 'environment'> = {},
  ): Promise<ServerProcess> {
    const url = new URL(this.postgres.database.databaseUrl);
    // So that it can be told from the others in pg_stat_activity.
    url.searchParams.set('application_name', `server${this.#servers.length + 1}`);
    const server = await startServerProcess({ ...options, databaseUrl: url.href, seed: this.seed });
    this.#servers.push(server);
    return server;
  }

  /** The same, but for a note of everything that it signs. */
  startRecordingServer(): Promise<ServerProcess> {
    const file = signaturesFile(this.#signatures, this.#servers.length);
    return this.startServer({ program: [RECORDING], environment: { [SIGNATURES_FILE]: file } });
  }

  /** Of a log that recording servers served: every head that was ever signed, and told or not, is stored. */
  async expectSignedIsStored({ clusterId }: Log): Promise<void> {
    const entries = await this.postgres.database.storage.listEntries(clusterId, 0, 1_000_000);
    const roots = rootsOf(entries.map(({ record }) => record));
    const notes = (await readSignatures(this.#signatures)).map(({ noteText }) => noteText.split('\n'));
    const signed = notes.filter(([origin]) => origin === `${ORIGIN_PREFIX}/${clusterId}`);
    expect(signed.length).toBeGreaterThan(0);
    const missing = signed.filter(
      ([, size, root]) => roots[Number(size)] !== Buffer.from(root ?? '', 'base64').toString('hex'),
    );
    expect(missing).toEqual([]);
  }

  /** A log of one anchor. */
  async newLog(clients: Clients): Promise<Log> {
    const caller = await CarefulCaller.ofNewCluster(clients, this.seed);
    const log = new Log(caller);
    await log.append(clients);
    return log;
  }

  async stateOf(clients: Clients, clusterId: string): Promise<string> {
    const { cluster } = await clients.registry.getCluster({ clusterId });
    return ClusterState[cluster?.state ?? 0] ?? '';
  }

  /** Resolves when the servers have written down that commits wait for the standby. */
  async untilSynchronous(): Promise<void> {
    await eventually(async () => {
      const [newest] = await this.lineage();
      return newest?.synchronous === true ? true : undefined;
    });
  }

  /** What the servers took for their database, the newest first. */
  async lineage(): Promise<readonly { timeline: number; synchronous: boolean; reason: string }[]> {
    return await withClient(this.postgres.database.superuserUrl, async (client) => {
      const text = 'SELECT timeline, synchronous, reason FROM lineage ORDER BY number DESC';
      return (await client.query(text)).rows;
    });
  }

  /** The records are what their heads, and the signatures on them, say. */
  async expectSound(log: Log, entries: number): Promise<void> {
    expect(await log.caller.fsck(this.postgres.database.storage, this.seed)).toMatchObject({
      entries,
      finding: undefined,
    });
  }

  async strike(): Promise<void> {
    await Promise.all(this.#servers.map((server) => server.kill('SIGKILL')));
    await this.postgres.stop();
    await rm(this.#signatures, { recursive: true, force: true });
  }
}

/** One cluster, with everything that its careful caller was answered. */
export class Log {
  readonly caller: CarefulCaller;
  readonly anchored: Anchored[] = [];

  constructor(caller: CarefulCaller) {
    this.caller = caller;
  }

  get clusterId(): string {
    return this.caller.clusterId;
  }

  /** Presents the newest checkpoint, so that every answer is shown to extend the one before. */
  async append(clients: Clients, requestId: string = crypto.randomUUID()): Promise<Anchored> {
    const known = this.anchored.at(-1)?.verified.checkpoint;
    const options = { requestId, ...(known === undefined ? {} : { known }) };
    const anchored = await this.caller.anchor(clients, leavesNamed(requestId, 2), options);
    this.anchored.push(anchored);
    return anchored;
  }

  /** Its newest checkpoint, as the caller keeps it. */
  get newest(): string {
    return this.anchored.at(-1)?.response.checkpoint ?? '';
  }

  /** What is stored is served and proven, up to this size. */
  async expectServed(clients: Clients, size: number): Promise<void> {
    expect((await this.caller.checkpoint(clients)).size).toBe(size);
    for (const anchored of this.anchored.slice(0, size)) await this.caller.prove(clients, anchored, 1);
  }
}

/** The end of a call: `ok`, or its status and reason, such as `UNAVAILABLE CLUSTER_RECOVERING`. */
export async function endOf(call: Promise<unknown>): Promise<string> {
  const hasFailed = await call.then(
    () => false,
    () => true,
  );
  if (!hasFailed) return 'ok';
  const { code, details } = await failure(call);
  return `${code} ${details?.reason ?? ''}`;
}

/** Tries again while the database, or what became of an append, is not known. @throws what is no such answer */
export async function patiently<T>(call: () => Promise<T>): Promise<T> {
  return await eventually(
    () =>
      call().catch((error: { readonly code?: unknown }) => {
        if (error.code === status.UNAVAILABLE) return undefined;
        throw error;
      }),
    60_000,
  );
}
