import { create, toBinary } from '@bufbuild/protobuf';
import { anyPack } from '@bufbuild/protobuf/wkt';
import { Metadata } from '@grpc/grpc-js';
import fc from 'fast-check';
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from '#gen/google/rpc/error_details_pb.js';
import { StatusSchema } from '#gen/google/rpc/status_pb.js';
import { explainFailure, withRetries } from '../../../src/cli/client/call.ts';
import { CliError } from '../../../src/cli/error.ts';
import { encodeStatusDetails, STATUS_DETAILS, statusDetails } from '../../../src/rpc/status-details.ts';
import { damagedBytes } from '../mutation.ts';
import { asBytes, must, type Target } from '../target.ts';

const text = fc.string({ unit: 'binary', maxLength: 30 });
const retryDelay = fc.record({
  seconds: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  nanos: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
});
const detail = fc.oneof(
  fc
    .record({ reason: text, domain: text })
    .map((fields) => anyPack(ErrorInfoSchema, create(ErrorInfoSchema, fields))),
  fc.record({ retryDelay }).map((fields) => anyPack(RetryInfoSchema, create(RetryInfoSchema, fields))),
  fc
    .array(fc.record({ field: text, description: text }), { maxLength: 3 })
    .map((fieldViolations) => anyPack(BadRequestSchema, create(BadRequestSchema, { fieldViolations }))),
);
const trailer = fc
  .record({ code: fc.nat(20), message: text, details: fc.array(detail, { maxLength: 4 }) })
  .map((fields) => toBinary(StatusSchema, create(StatusSchema, fields)));

const VIOLATIONS = [{ field: 'leaves[3]', description: '31 bytes' }];
const SEEDS = [undefined, 0, 1_000, 30_000].map((retryDelayMs) =>
  encodeStatusDetails(8, 'too much', {
    reason: 'QUEUE_FULL',
    domain: 'quartermaster.dev',
    violations: VIOLATIONS,
    retryDelayMs,
  }),
);

/**
 * Whatever a server, or somebody between, sends as details of an error: the client reads some or none of it, tells a person
 * one line without anything that a terminal would obey, and waits no longer than it may.
 *
 * Seen red: without `catch` in `statusDetails`; without `printable` around violations; with a delay taken as it comes.
 */
export const statusTrailer: Target = {
  name: 'status-details',
  share: 10,
  open: () => ({
    inputs: fc.oneof({ weight: 2, arbitrary: damagedBytes(SEEDS) }, { weight: 2, arbitrary: trailer }),
    async check(input) {
      const bytes = asBytes(input);
      const metadata = new Metadata();
      metadata.set(STATUS_DETAILS, Buffer.from(bytes));
      const code = [14, 8, 4, 3, 13][bytes.length % 5] ?? 14;
      const error = Object.assign(new Error('failed'), { code, details: 'said\u001b[2J', metadata });
      const details = statusDetails(error);
      must(details === undefined || Array.isArray(details.violations), 'violations that are no list');
      const told = explainFailure(error, '127.0.0.1:1');
      must(told instanceof CliError, 'a failure that is not told');
      must(!/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(told.message), 'a message that moves the cursor');
      await checkWaiting(error);
      return details !== undefined;
    },
  }),
};

const POLICY = { forMs: 5_000, firstDelayMs: 100, longestDelayMs: 1_000 };

/** On a clock that only sleeping moves. */
async function checkWaiting(error: Error): Promise<void> {
  let now = 0;
  let tries = 0;
  const pace = {
    now: () => now,
    random: () => 0.5,
    sleep: async (ms: number) => {
      must(Number.isFinite(ms) && ms >= 0, `sleeps for ${ms} ms`);
      now += ms;
    },
  };
  const call = async () => {
    must(++tries < 100, 'tries for ever');
    throw error;
  };
  await withRetries(call, POLICY, pace).catch((thrown) => must(thrown === error, `crashed with ${thrown}`));
  must(now <= POLICY.forMs, `waited ${now} ms`);
}
