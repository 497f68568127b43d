import { randomUUID } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { LIES, type LieName } from '../gateway/lies.ts';
import { LyingNotary } from '../gateway/lying-notary.ts';
import { leavesNamed } from '../integration/careful-caller.ts';
import { failure } from '../server/edge.ts';
import { type AgentProcess, startAgentProcess } from './agent-process.ts';

// With pinned keys the agent passes on what is proven, and nothing else.

let notary: LyingNotary;
let agent: AgentProcess;
let spool: string;
const start = (keys: readonly string[]) =>
  startAgentProcess({
    endpoint: notary.address,
    spool,
    argv: keys.flatMap((key) => ['--key', key]),
  });
beforeAll(async () => {
  notary = await LyingNotary.start();
  spool = mkdtempSync(join(tmpdir(), 'qm-agent-'));
  agent = await start([notary.vkey]);
});
afterAll(async () => {
  await agent.kill('SIGKILL');
  notary.stop();
  rmSync(spool, { recursive: true, force: true });
});

const anchor = (name: string, extra: object = {}) =>
  agent.notary.createAnchor({ clusterId: notary.clusterId, packedLeaves: leavesNamed(name, 3), ...extra });

// Red when `send` passes the answer on without asking the witness.
describe('a notary that lies is answered for with DATA_LOSS, an alarm and the evidence:', () => {
  beforeAll(async () => {
    for (const honest of ['a', 'b', 'c']) await anchor(honest);
  });

  test.each(Object.keys(LIES) as LieName[])('%s', async (name) => {
    const directory = join(spool, 'evidence');
    for (const file of readdirSync(directory)) rmSync(join(directory, file));
    const told = agent.lines().length;
    notary.lie = name;
    const refused = await failure(anchor(name));
    notary.lie = undefined;
    expect(refused).toMatchObject({ code: 'DATA_LOSS', details: { reason: 'ANSWER_NOT_VERIFIED' } });
    expect(refused.details?.retryDelayMs).toBeUndefined();
    const [file] = readdirSync(directory);
    const evidence = JSON.parse(readFileSync(join(directory, file!), 'utf8'));
    expect(evidence.call.clusterId).toBe(notary.clusterId);
    expect(LIES[name].codes).toContain(evidence.code);
    expect(refused.message).toContain(evidence.code);
    const alarm = await agent.line((line) => line.alarm === true && agent.lines().indexOf(line) >= told);
    expect(alarm).toMatchObject({ level: 50, clusterId: notary.clusterId });
    // What is honest again is passed on again.
    expect((await anchor(`after ${name}`)).leafCount).toBe(3);
  });
});

test('an honest answer comes in the terms of the caller, whatever the agent presented for it', async () => {
  await anchor('first');
  const packedLeaves = leavesNamed('second', 2);
  const leaves = [packedLeaves.subarray(0, 32), packedLeaves.subarray(32)];
  const { clusterId } = notary;
  const answer = await agent.notary.createAnchor({ clusterId, leaves });
  expect(answer.leafIndices).toEqual([0, 1]);
  // The agent presented the first one's checkpoint, its caller none.
  expect(notary.requests.at(-1)?.knownCheckpoint).not.toBe('');
  expect(answer.consistencyPath).toEqual([]);
  const knownCheckpoint = answer.checkpoint;
  await anchor('third');
  const own = await anchor('fourth', { knownCheckpoint });
  expect(own.consistencyPath.length).toBeGreaterThan(0);
  expect(notary.requests.at(-1)?.knownCheckpoint).toBe(knownCheckpoint);
});

// Red when the newest checkpoint is not kept in the spool.
test('a log that shrank while the agent was not running is noticed', async () => {
  for (const name of ['one', 'two', 'three']) await anchor(name);
  await agent.kill('SIGTERM');
  expect(readdirSync(join(spool, 'checkpoints'))).toHaveLength(1);
  notary.log = notary.log.upTo(1);
  agent = await start([notary.vkey]);
  expect(await failure(anchor('four'))).toMatchObject({ code: 'DATA_LOSS' });
});

test('a cluster of which no key is pinned is not believed', async () => {
  await agent.kill('SIGTERM');
  rmSync(spool, { recursive: true });
  const another = await LyingNotary.start(randomUUID());
  agent = await start([another.vkey]);
  another.stop();
  const refused = await failure(anchor('unpinned'));
  expect(refused).toMatchObject({ code: 'DATA_LOSS' });
  expect(refused.message).toMatch(/ORIGIN_MISMATCH.*no key is pinned/);
});
