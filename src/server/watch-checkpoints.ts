import { create } from '@bufbuild/protobuf';
import type { handleServerStreamingCall, ServerWritableStream } from '@grpc/grpc-js';
import type { WatchCheckpointsRequest, WatchCheckpointsResponse } from '#gen/quartermaster/v1/notary_pb.js';
import { WatchCheckpointsResponseSchema } from '#gen/quartermaster/v1/notary_pb.js';
import type { Notary } from '../notary/service.ts';
import type { OwnRequest } from './handler.ts';
import { parseClusterName } from './notary-requests.ts';
import { statusOf } from './status.ts';

type WatchStream = ServerWritableStream<OwnRequest<WatchCheckpointsRequest>, WatchCheckpointsResponse>;

/** Sends what the notary tells until the caller or the server ends it. */
export function watchCheckpoints(
  notary: Notary,
): handleServerStreamingCall<OwnRequest<WatchCheckpointsRequest>, WatchCheckpointsResponse> {
  return (stream) => void watch(notary, stream);
}

async function watch(notary: Notary, stream: WatchStream): Promise<void> {
  const { message, context } = stream.request;
  context.handlerStarted();
  try {
    context.throwIfExpired();
    const clusterId = parseClusterName(message);
    context.clusterId = clusterId;
    const { signal } = context;
    const sender = new NewestSender(stream);
    for await (const checkpoint of notary.watchCheckpoints(clusterId, signal)) {
      if (signal.aborted) break;
      sender.offer(checkpoint);
    }
    sender.end();
  } catch (error) {
    context.error = error;
    stream.emit('error', statusOf(error, context));
  } finally {
    context.handlerSettled();
  }
}

/** Writes one checkpoint at a time; of those that come meanwhile only the newest is kept, so that a slow reader costs nothing. */
class NewestSender {
  readonly #stream: WatchStream;
  #writing = false;
  #next: string | undefined;
  #ending = false;

  constructor(stream: WatchStream) {
    this.#stream = stream;
  }

  offer(checkpoint: string): void {
    this.#next = checkpoint;
    if (!this.#writing) this.#write();
  }

  /** Ends the stream behind what is still to be written. */
  end(): void {
    this.#ending = true;
    if (!this.#writing) this.#write();
  }

  #write(): void {
    const checkpoint = this.#next;
    if (checkpoint === undefined && this.#ending) this.#stream.end();
    if (checkpoint === undefined || this.#stream.writableEnded || this.#stream.destroyed) return;
    this.#next = undefined;
    this.#writing = true;
    // Called back once HTTP/2 flow control has let it through.
    this.#stream.write(create(WatchCheckpointsResponseSchema, { checkpoint }), () => {
      this.#writing = false;
      this.#write();
    });
  }
}
