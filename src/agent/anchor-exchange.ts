import { Metadata, type ServiceError } from '@grpc/grpc-js';
import { judge } from '../gateway/refusal.ts';
import { VerificationError } from '../verify/index.ts';
import {
  decodeAnswer,
  encodeCall,
  withLeafIndices,
  withoutConsistencyPath,
  withRequestId,
} from './anchor-message.ts';
import { type NotaryChannel, passedOn } from './notary-channel.ts';
import type { SpooledCall } from './spooled-call.ts';
import type { CallerTerms } from './waiting-caller.ts';
import type { Witness } from './witness.ts';

/** One try of a call: for whom, and until when. */
export interface Try {
  readonly call: SpooledCall;
  /** The caller's own message, where it is this call. */
  readonly message?: Buffer | undefined;
  /** Whom the answer is for; nobody: it is only looked at. */
  readonly terms: Pick<CallerTerms, 'listsLeaves' | 'metadata'> | undefined;
  /** by `Date.now()` */
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
}

const CREATE_ANCHOR = '/quartermaster.v1.QuartermasterNotary/CreateAnchor';

/** CreateAnchor at the notary, answered in the terms of whoever asked, and verified where keys are pinned. */
export class AnchorExchange {
  readonly #channel: NotaryChannel;
  readonly #witness: Witness | undefined;

  constructor(channel: NotaryChannel, witness: Witness | undefined) {
    this.#channel = channel;
    this.#witness = witness;
  }

  /** @throws {VerificationError} The notary lies. All else is an error of grpc-js. */
  async send({ call, message, terms, deadlineMs, signal }: Try): Promise<Buffer> {
    const ask = async (bytes: Buffer): Promise<Buffer> => {
      const metadata = terms === undefined ? new Metadata() : passedOn(terms.metadata);
      const answer = await this.#channel.unary({
        path: CREATE_ANCHOR,
        message: bytes,
        metadata,
        deadline: deadlineMs,
        signal,
        timesOut: true,
      });
      return answer.message;
    };
    const leafCount = call.packedLeaves.length / 32;
    const listed = (answer: Buffer) =>
      terms?.listsLeaves === true ? withLeafIndices(answer, leafCount) : answer;

    if (this.#witness === undefined) {
      // Its own words in, the notary's own words out.
      if (message !== undefined) return await ask(withRequestId(message, call.requestId));
      return listed(await ask(encodeCall(call)));
    }

    const isOurs = call.knownCheckpoint === '';
    const presented = isOurs
      ? { ...call, knownCheckpoint: this.#witness.knownCheckpoint(call.clusterId) }
      : call;
    const answer = await ask(encodeCall(presented)).catch((error: ServiceError) => {
      throw isOurs && judge(error).kind === 'known-checkpoint-refused' ? disowned(error) : error;
    });
    const decoded = decode(answer);
    await this.#witness.accept(decoded, presented, {
      timeoutMs: Math.max(1, deadlineMs - Date.now()),
      signal,
    });
    return listed(isOurs ? withoutConsistencyPath(decoded) : answer);
  }
}

function disowned(error: ServiceError): VerificationError {
  return new VerificationError(
    'CONSISTENCY_PATH',
    `the notary does not know a checkpoint that its log has signed: ${error.details}`,
    error,
  );
}

function decode(answer: Buffer) {
  try {
    return decodeAnswer(answer);
  } catch (cause) {
    throw new VerificationError('BAD_RESPONSE', 'the answer cannot be decoded', cause);
  }
}
