import type { Point } from './plan.ts';

/** Names the variable in which an application is told all of this, as JSON. */
export const OPTIONS = 'QM_CRASH_APPLICATION';

export interface ApplicationOptions {
  readonly outbox: 'journal' | 'postgres' | 'memory';
  readonly databaseUrl: string;
  readonly journalDirectory: string;
  readonly endpoint: string;
  readonly clusterId: string;
  readonly vkey: string;
  readonly maxLeaves: number;
  readonly flushIntervalMs: number;
  readonly inFlight: number;
  readonly segmentBytes: number;
  /** that it commits */
  readonly events: number;
  readonly dieAt:
    | { readonly point: Point; readonly passing: number; readonly patienceMs: number }
    | undefined;
  /** The last life: replays dead letters, brings everything home, and says what is left. */
  readonly isLast: boolean;
  /** lines of JSON, see `report.ts` */
  readonly reportFile: string;
}
