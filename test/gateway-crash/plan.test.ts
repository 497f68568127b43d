import { describe, expect, test } from '@jest/globals';
import { type OutboxKind, POINTS, planRun } from './plan.ts';

const runsOf = (outbox: OutboxKind, count: number, seed = 'seed') =>
  Array.from({ length: count }, (_, number) => planRun(seed, outbox, number));
const lastPoints = (outbox: OutboxKind) =>
  runsOf(outbox, POINTS[outbox].length).map(({ processes }) => {
    const end = processes[0]?.at(-1)?.end;
    return end?.kind === 'point' ? end.point : end?.kind;
  });

describe('the plans of runs', () => {
  test('are the same for the same seed, and others for another', () => {
    expect(runsOf('journal', 30)).toEqual(runsOf('journal', 30));
    expect(runsOf('journal', 30)).not.toEqual(runsOf('journal', 30, 'other'));
  });

  test.each(['journal', 'postgres'] as const)(
    'of the outbox %s have each point in turn as the last death',
    (outbox) => {
      expect(lastPoints(outbox)).toEqual(POINTS[outbox]);
    },
  );

  test('bring each point together with each notary that lets a gateway come to it', () => {
    const rounds = 8;
    const met = new Map<string, Set<string>>();
    for (const { notary, processes } of runsOf('journal', rounds * POINTS.journal.length)) {
      const end = processes[0]?.at(-1)?.end;
      const point = end?.kind === 'point' ? end.point : '';
      met.set(point, (met.get(point) ?? new Set()).add(notary.kind));
    }
    expect(met.get('event.committed')?.size).toBe(8);
    expect(met.get('call.answered')?.size).toBe(7);
    expect([...(met.get('batch.split') ?? [])]).toEqual(['small']);
    expect([...(met.get('batch.buried') ?? [])]).toEqual(['unknown-cluster']);
  });

  test('put a replica beside each point in one of two rounds', () => {
    const points = POINTS.postgres.length;
    const replicas = runsOf('postgres', 2 * points).map(({ processes }) => processes.length - 1);
    for (let point = 0; point < points; point++)
      expect([replicas[point], replicas[point + points]].sort()).toEqual([0, 1]);
  });
});
