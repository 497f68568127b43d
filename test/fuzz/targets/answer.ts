import fc from 'fast-check';
import { fastHasher } from '../../../src/merkle/fast.ts';
import { verifyEd25519Natively } from '../../../src/native/ed25519.ts';
import {
  type AnchorResponse,
  VerificationError,
  verifyAnchorResponse,
  verifyCheckpoint,
} from '../../../src/verify/index.ts';
import { LOGS, logNamed, VKEYS } from '../honest-log.ts';
import { damagedText } from '../mutation.ts';
import { asText, must, parsed, type Target } from '../target.ts';

const POLICY = { logKeys: VKEYS };
const FAST = { hasher: fastHasher, verifyEd25519: verifyEd25519Natively };

const FORKED_ROOT = new Uint8Array(32).fill(0xf0);

/** What callers may hold of each log, by size. */
const HELD = LOGS.map((log) =>
  Array.from({ length: log.size + 1 }, (_, size) => verifyCheckpoint(log.checkpoint(size), POLICY, FAST)),
);

/** What a server might answer, as JSON: bytes in base64 after a colon, so that types can be confused too. */
const SEEDS = LOGS.flatMap((log) =>
  log.batches.flatMap(({ anchorId, leaves, record }, logIndex) =>
    [logIndex, Math.floor(logIndex / 2), -logIndex, -log.size].map((known) =>
      JSON.stringify({
        // What the caller asked: which log, which batch, which checkpoint it holds; below 0 one of a fork.
        log: LOGS.indexOf(log),
        batch: logIndex,
        known,
        anchorId,
        leafCount: leaves.length,
        leafIndices: leaves.map((_, i) => i),
        record: packed(record),
        logIndex,
        checkpoint: log.checkpoint(log.size),
        recordPath: log.recordPath(logIndex, log.size).map(packed),
        consistencyPath: log.consistencyPath(Math.abs(known), log.size).map(packed),
      }),
    ),
  ),
);

/**
 * An answer to CreateAnchor that verifies is the anchor of the caller's own leaves, in the log that it asked, under a head
 * that extends the one that it holds.
 *
 * Seen red: with the consistency path ignored; with a checkpoint of the held one's size taken for the held one; with the root
 * of the leaves not compared; with the answer's anchor id not compared.
 */
export const answer: Target = {
  name: 'answer',
  share: 10,
  open: () => ({
    inputs: fc.oneof(
      {
        weight: 2,
        arbitrary: damagedText(SEEDS, ['null', '"leafCount":', '[]', ':AAAA', '"recordPath":[]']),
      },
      { weight: 3, arbitrary: crossed() },
    ),
    check(input) {
      const response = unpackedJson(asText(input));
      if (response === undefined) return false;
      const { log, batch, known } = response as unknown as Record<string, unknown>;
      const asked = LOGS[Number(log) % LOGS.length];
      const anchored = asked?.batches[Number(batch) % asked.size];
      if (asked === undefined || anchored === undefined) return false;
      const own = HELD[LOGS.indexOf(asked)]?.find(({ size }) => size === Math.abs(Number(known)));
      const isForked = Number(known) < 0 && own !== undefined;
      const held = isForked ? { ...own, root: FORKED_ROOT } : own;
      // Logs from 2 on stand for the same logs, asked with other leaves than were anchored.
      const isOther = Number(log) >= LOGS.length;
      const request = {
        clusterId: asked.clusterId,
        packedLeaves: new Uint8Array(Buffer.concat(anchored.leaves)).map((byte) =>
          isOther ? byte ^ 1 : byte,
        ),
        etcdRevision: BigInt(asked.batches.indexOf(anchored)),
        ...(anchored.requestId === undefined ? {} : { requestId: anchored.requestId }),
        ...(held === undefined ? {} : { known: held }),
      };
      const verified = parsed(() => verifyAnchorResponse(response, request, POLICY, FAST), VerificationError);
      if (verified === undefined) return false;
      must(!isForked, 'verified a log that does not extend what the caller holds');
      must(!isOther, 'verified other leaves than were sent');
      must(verified.clusterId === asked.clusterId, 'verified in another log');
      must(asked.batches[verified.logIndex] === anchored, 'verified another anchor');
      must(
        verified.anchorId === anchored.anchorId && response.anchorId === anchored.anchorId,
        'another anchor id',
      );
      must(verified.leafCount === anchored.leaves.length, 'verified another number of leaves');
      must(
        response.leafIndices.length === 0 || response.leafIndices.every((value, i) => value === i),
        'other indices',
      );
      const { origin, size, root } = verified.checkpoint;
      must(logNamed(origin) === asked && asked.had(size, root), 'verified a head that was never signed');
      must(size >= (held?.size ?? 0), 'the log shrank');
      return true;
    },
  }),
};

/** Whole fields of one answer in another: each valid, together not. */
function crossed(): fc.Arbitrary<string> {
  const objects = SEEDS.map((seed) => JSON.parse(seed) as Record<string, unknown>);
  const names = Object.keys(objects[0] ?? {});
  const odd = [0, 2, 3, -1, 1.5, '', 'x', null, [], {}, 2 ** 53, ':', [':AAAA'], [null], { length: 32 }];
  const which = fc.nat(objects.length - 1);
  const change = fc.tuple(fc.nat(names.length - 1), which, fc.nat(odd.length * 3));
  return fc.tuple(which, fc.array(change, { maxLength: 4 })).map(([seed, changes]) => {
    const mixed = { ...objects[seed] };
    for (const [name, other, strange] of changes) {
      const field = names[name] ?? 'log';
      mixed[field] = strange < odd.length ? odd[strange] : objects[other]?.[field];
    }
    return JSON.stringify(mixed);
  });
}

function packed(bytes: Uint8Array): string {
  return `:${Buffer.from(bytes).toString('base64')}`;
}

function unpackedJson(text: string): AnchorResponse | undefined {
  try {
    const value: unknown = JSON.parse(text, (_, member: unknown) =>
      typeof member === 'string' && member.startsWith(':')
        ? new Uint8Array(Buffer.from(member, 'base64'))
        : member,
    );
    return typeof value === 'object' && value !== null ? (value as AnchorResponse) : undefined;
  } catch {
    return undefined;
  }
}
