// A notary that can be killed and started again at the same address, and an agent before it.

import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CarefulCaller, leavesNamed } from '../integration/careful-caller.ts';
import { type ServerProcess, startServerProcess } from '../integration/server-process.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';
import { type AgentProcess, type AgentProcessOptions, startAgentProcess } from './agent-process.ts';

export class Arena {
  readonly #database: TestDatabase;
  readonly #directories: string[] = [];
  readonly #agents: AgentProcess[] = [];
  readonly #address: string;
  server: ServerProcess;

  private constructor(database: TestDatabase, server: ServerProcess) {
    this.#database = database;
    this.server = server;
    this.#address = server.address;
  }

  static async open(): Promise<Arena> {
    const database = await openTestDatabase();
    return new Arena(database, await startServerProcess({ databaseUrl: database.databaseUrl }));
  }

  newCluster(): Promise<CarefulCaller> {
    return CarefulCaller.ofNewCluster(this.server, this.server.seed);
  }

  /** As when its machine loses power. */
  async killNotary(): Promise<void> {
    await this.server.kill('SIGKILL');
  }

  /** At the address that it had. */
  async startNotary(environment: Readonly<Record<string, string>> = {}): Promise<void> {
    const { seed } = this.server;
    const { databaseUrl } = this.#database;
    this.server = await startServerProcess({
      databaseUrl,
      seed,
      environment: { QUARTERMASTER_LISTEN: this.#address, ...environment },
    });
  }

  newDirectory(): string {
    const directory = mkdtempSync(join(tmpdir(), 'qm-agent-'));
    this.#directories.push(directory);
    return directory;
  }

  async startAgent(options: Partial<AgentProcessOptions> = {}): Promise<AgentProcess> {
    const spool = options.spool ?? this.newDirectory();
    const agent = await startAgentProcess({ endpoint: this.#address, ...options, spool });
    this.#agents.push(agent);
    return agent;
  }

  /** The anchors of a cluster, in the order of its log, each by the first of its leaves. */
  async anchored(clusterId: string): Promise<{ anchorId: string; requestId: string; firstLeaf: string }[]> {
    const { notary } = this.server;
    const { anchors } = await notary.listAnchors({ clusterId });
    return await Promise.all(
      anchors.map(async ({ anchorId, requestId }) => {
        const { packedLeaves } = await notary.listLeaves({ anchorId });
        return { anchorId, requestId, firstLeaf: hex(packedLeaves.subarray(0, 32)) };
      }),
    );
  }

  async close(): Promise<void> {
    for (const agent of this.#agents) await agent.kill('SIGKILL');
    await this.server.kill('SIGTERM');
    await this.#database.close();
    for (const directory of this.#directories) rmSync(directory, { recursive: true, force: true });
  }
}

export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
export const firstLeafOf = (name: string): string => hex(leavesNamed(name));

/** The calls that wait in a spool. */
export function spooledCalls(spool: string): string[] {
  const calls = join(spool, 'calls');
  if (!existsSync(calls)) return [];
  return readdirSync(calls, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.call'));
}

/** Resolves once the condition holds; the test's own time-out ends a wait in vain. */
export async function eventually(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await sleep(20);
}
