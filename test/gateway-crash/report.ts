import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import type { Point } from './plan.ts';

/** What an application did, as it writes it down itself: what it wrote is there after SIGKILL. */
export type ReportLine =
  /** before its row is inserted: it may be committed, rolled back, or never be heard of again */
  | { readonly type: 'began'; readonly eventId: string; readonly leaf: string; readonly pid: number }
  | { readonly type: 'rolled-back'; readonly eventId: string }
  /** `submit` has resolved: from here on the outbox answers for it */
  | { readonly type: 'taken'; readonly eventId: string }
  /** at start: its row was committed and its leaf was not submitted */
  | { readonly type: 'submitted-again'; readonly eventId: string }
  /** `onAnchored` was told */
  | { readonly type: 'told'; readonly eventId: string; readonly anchorId: string; readonly leafIndex: number }
  /** the handle of `submit` has resolved */
  | {
      readonly type: 'resolved';
      readonly eventId: string;
      readonly anchorId: string;
      readonly leafIndex: number;
    }
  | { readonly type: 'dying'; readonly point: Point }
  /** it did all that it had to, and had not come to the point of its death */
  | { readonly type: 'outlived' }
  | { readonly type: 'slow-submit'; readonly ms: number }
  | { readonly type: 'alarm'; readonly code: string; readonly message: string }
  | { readonly type: 'buried'; readonly status: string; readonly leaves: number }
  | { readonly type: 'replayed'; readonly batches: number }
  /** `gateway.reconcile()` in the end */
  | { readonly type: 'unanchored'; readonly eventId: string; readonly state: string }
  | { readonly type: 'closed'; readonly left: number | undefined };

export class Report {
  readonly #file: string;

  constructor(file: string) {
    this.#file = file;
  }

  write(line: ReportLine): void {
    appendFileSync(this.#file, `${JSON.stringify(line)}\n`);
  }

  read(): ReportLine[] {
    if (!existsSync(this.#file)) return [];
    const lines = readFileSync(this.#file, 'utf8').split('\n');
    return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as ReportLine);
  }
}
