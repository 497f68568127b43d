import type { handleUnaryCall } from '@grpc/grpc-js';
import { decodeCreateAnchor, type ReceivedBatch } from '../server/create-anchor-codec.ts';
import { RequestError } from '../server/error.ts';
import type { OwnRequest } from '../server/handler.ts';
import { parseCreateAnchor } from '../server/notary-requests.ts';
import { statusOf } from '../server/status.ts';
import type { AnchorRelay } from './anchor-relay.ts';
import { agentStatus } from './status.ts';
import { WaitingCaller } from './waiting-caller.ts';

/** The protocol's bound (GetLog.max_leaf_count): what less the notary takes it says itself. */
const MAX_LEAF_COUNT = 4_194_304;

const NOTHING = Buffer.alloc(0);

/** A message that can be let go of: grpc-js keeps a request for as long as its call lasts, which here may be hours. */
export class HeldMessage {
  #bytes: Buffer;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes as Buffer;
  }

  take(): Buffer {
    const bytes = this.#bytes;
    this.#bytes = NOTHING;
    return bytes;
  }
}

/** Judges a call as the notary would, so that nothing gets into the spool that could never be anchored. */
export function createAnchor(
  relay: AnchorRelay,
  maxCalls: number,
): handleUnaryCall<OwnRequest<HeldMessage>, Buffer> {
  let calls = 0;
  return (call, callback) => {
    const { message: held, context } = call.request;
    context.handlerStarted();
    const release = () => context.handlerSettled();
    if (calls >= maxCalls) {
      release();
      callback(agentStatus('TOO_MANY_CALLS', `${maxCalls} calls wait already: try again later`));
      return;
    }
    try {
      context.throwIfExpired();
      const message = held.take();
      const batch = decode(message);
      const {
        knownCheckpoint,
        requestId: givenRequestId,
        ...content
      } = parseCreateAnchor(batch, MAX_LEAF_COUNT);
      context.clusterId = content.clusterId;
      context.leafCount = content.packedLeaves.length / 32;
      const terms = {
        knownCheckpoint,
        listsLeaves: batch.leafCount > 0,
        metadata: call.metadata,
        deadlineMs: context.deadlineMs,
      };
      const caller = new WaitingCaller(terms, {
        answer: (answer) => callback(null, answer),
        refuse: (status) => callback(status),
      });
      calls++;
      const leave = relay.submit(
        { ...content, givenRequestId, knownCheckpoint, first: { caller, message }, release },
        caller,
      );
      context.onEnd(() => {
        calls--;
        leave();
      });
    } catch (error) {
      context.error = error;
      release();
      callback(statusOf(error, context));
    }
  };
}

function decode(message: Buffer): ReceivedBatch {
  try {
    return decodeCreateAnchor(message, MAX_LEAF_COUNT);
  } catch (cause) {
    if (cause instanceof RequestError) throw cause;
    throw new RequestError('MALFORMED_MESSAGE', 'the request message cannot be decoded', { cause });
  }
}
