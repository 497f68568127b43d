import { Metadata, status } from '@grpc/grpc-js';
import type { AnchorAnswer, AnchorCall, CallLimits, NotaryLink } from '../../src/gateway/notary-link.ts';
import { encodeStatusDetails, STATUS_DETAILS } from '../../src/rpc/status-details.ts';
import { MemoryNotary } from '../cli/memory-notary.ts';

export interface Failure {
  readonly reason?: string;
  readonly domain?: string;
  readonly retryDelayMs?: number;
  readonly violations?: readonly { readonly field: string; readonly description: string }[];
}

/** What grpc-js rejects with. Without a `failure` it carries no details, as where no notary was reached. */
export function callFailed(code: status, failure?: Failure): Error {
  const metadata = new Metadata();
  const details = `made to fail with ${status[code]}`;
  if (failure !== undefined) {
    const bytes = encodeStatusDetails(code, details, {
      reason: failure.reason ?? '',
      domain: failure.domain ?? 'quartermaster.dev',
      violations: failure.violations ?? [],
      retryDelayMs: failure.retryDelayMs,
    });
    metadata.set(STATUS_DETAILS, Buffer.from(bytes));
  }
  return Object.assign(new Error(`${code} ${status[code]}: ${details}`), { code, details, metadata });
}

/** A link to a notary in the same process, honest unless a test makes it otherwise. */
export class MemoryLink implements NotaryLink {
  readonly notary: MemoryNotary;
  /** Every call that was made, answered or not. */
  readonly calls: AnchorCall[] = [];
  drops = 0;
  /** Runs before a batch is anchored: throws, waits. */
  before: (call: AnchorCall, limits: CallLimits) => void | Promise<void> = () => {};
  /** Runs after it, before the answer is given: throws, waits, lies. */
  after: (answer: AnchorAnswer) => AnchorAnswer | Promise<AnchorAnswer> = (answer) => answer;

  constructor(clusterId: string) {
    this.notary = new MemoryNotary(7, clusterId);
  }

  async createAnchor(call: AnchorCall, limits: CallLimits): Promise<AnchorAnswer> {
    this.calls.push(call);
    await this.before(call, limits);
    return this.after(await this.notary.createAnchor(call));
  }

  getReceipt(): Promise<never> {
    return Promise.reject(callFailed(status.UNIMPLEMENTED));
  }

  getConsistencyPath(): Promise<never> {
    return Promise.reject(callFailed(status.UNIMPLEMENTED));
  }

  drop(): void {
    this.drops++;
  }

  close(): void {}
}
