import { createHash } from 'node:crypto';

/** What of a CreateAnchor call makes a retry of it the same call. */
export interface CallContent {
  /** UUID in lower case */
  readonly clusterId: string;
  readonly etcdRevision: bigint;
  /** as the caller gave it, in lower case; undefined where it gave none */
  readonly givenRequestId: string | undefined;
  /** N * 32 bytes, N from 1, whichever field they came in */
  readonly packedLeaves: Uint8Array;
}

/**
 * Names the content of a call, so that a caller that was told to come again, and has no request_id to say that it does, finds
 * its first batch. Leaves are digests that nobody else has (16 random bytes or more went into each), so that equal leaves
 * are the same events.
 *
 * The known_checkpoint is left out: a caller that comes again may have a newer one.
 *
 * @returns 64 hex digits
 */
export function contentKey({ clusterId, etcdRevision, givenRequestId, packedLeaves }: CallContent): string {
  return createHash('sha256')
    .update(`quartermaster.dev/agent-call@v1\n${clusterId}\n${etcdRevision}\n${givenRequestId ?? ''}\n`)
    .update(packedLeaves)
    .digest('hex');
}
