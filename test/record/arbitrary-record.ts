import fc from 'fast-check';
import type { AnchorRecord, SuccessionRecord } from '../../src/record/index.ts';

const uuid = fc.uuid();
const hash = fc.uint8Array({ minLength: 32, maxLength: 32 });
const createdAtMs = fc
  .date({
    min: new Date('0000-01-01T00:00:00.000Z'),
    max: new Date('9999-12-31T23:59:59.999Z'),
    noInvalidDate: true,
  })
  .map(Number);
// Anything that UTF-8 can hold, with what JSON escapes and what a careless escaper would.
const text = (maxBytes: number) =>
  fc
    .string({
      unit: fc.oneof(
        fc.constantFrom('"', '\\', '/', '\n', '\u007f', '\u2028', '<'),
        fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }),
      ),
      maxLength: maxBytes,
    })
    .filter((value) => value.isWellFormed() && Buffer.byteLength(value) <= maxBytes);

export const anchorRecord: fc.Arbitrary<AnchorRecord> = fc.record(
  {
    anchorId: uuid,
    clusterId: uuid,
    leafCount: fc.integer({ min: 1, max: 4_194_304 }),
    root: hash,
    etcdRevision: fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }),
    requestId: uuid,
    submitter: text(256).filter((value) => value !== ''),
    createdAtMs,
  },
  { requiredKeys: ['anchorId', 'clusterId', 'leafCount', 'root', 'etcdRevision', 'createdAtMs'] },
);

export const successionRecord: fc.Arbitrary<SuccessionRecord> = fc.record({
  clusterId: uuid,
  predecessorId: uuid,
  predecessorOrigin: fc.constantFrom('a', 'notary.example/"\\é', 'x'.repeat(255)),
  predecessorSize: fc.maxSafeNat(),
  predecessorRoot: hash,
  reason: text(256),
  createdAtMs,
});
