import { expect } from '@jest/globals';
import { failure } from '../server/edge.ts';

export interface ExpectedRefusal {
  /** Name of the gRPC status. */
  readonly code: string;
  /** `ErrorInfo.reason`. */
  readonly reason: string;
  /** Each begins with what is given here; none where left out. */
  readonly violations?: readonly { readonly field: string; readonly description: RegExp }[];
  /** Whether the caller is told to try again; false where left out. */
  readonly retry?: boolean;
  readonly message?: RegExp;
}

/** A row of a table of bad calls. */
export type Refused = readonly [name: string, call: () => Promise<unknown>, expected: ExpectedRefusal];

/** INVALID_ARGUMENT for one field. */
export function invalid(field: string, description: RegExp): ExpectedRefusal {
  return {
    code: 'INVALID_ARGUMENT',
    reason: 'INVALID_ARGUMENT',
    violations: [{ field, description }],
  };
}

/** What nobody outside may see: SQL, names of tables and roles, stacks, files, where the database is. */
const INTERNALS =
  /\b(select|insert|update|relation|constraint|column|postgres|sql|pool|role|qm_\w+|ECONN\w+|anchor_leaves|heads|log_nodes)\b|127\.0\.0\.1|localhost|:\d{4,5}\b|\.ts\b|node_modules|\bat .+:\d+:\d+/i;

/** Awaits a call that must fail, and holds everything that its caller is told to what is expected. */
export async function expectRefusal(call: Promise<unknown>, expected: ExpectedRefusal): Promise<void> {
  const refused = await failure(call);
  expect({ code: refused.code, reason: refused.details?.reason, domain: refused.details?.domain }).toEqual({
    code: expected.code,
    reason: expected.reason,
    domain: 'quartermaster.dev',
  });
  expect(refused.details?.violations.map(({ field }) => field)).toEqual(
    (expected.violations ?? []).map(({ field }) => field),
  );
  (expected.violations ?? []).forEach(({ description }, i) => {
    expect(refused.details?.violations[i]?.description).toMatch(description);
  });
  expect(refused.details?.retryDelayMs !== undefined).toBe(expected.retry === true);
  if (expected.message !== undefined) expect(refused.message).toMatch(expected.message);
  expect(refused.detailsBytes).toBeLessThanOrEqual(4096);
  const told = [
    refused.message,
    ...(refused.details?.violations.map(({ description }) => description) ?? []),
  ];
  for (const text of told) expect(text).not.toMatch(INTERNALS);
}
