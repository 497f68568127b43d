// Reads and watches pass through: the notary answers them, or nobody does.

import type { handleServerStreamingCall, handleUnaryCall, ServerWritableStream } from '@grpc/grpc-js';
import type { OwnRequest } from '../server/handler.ts';
import { type NotaryChannel, passedOn } from './notary-channel.ts';
import { passedBack } from './status.ts';

/** One question, one answer: bytes, deadline, metadata and cancellation as they come. */
export function forwardUnary(
  channel: NotaryChannel,
  path: string,
): handleUnaryCall<OwnRequest<Buffer>, Buffer> {
  return (call, callback) => {
    const { message, context } = call.request;
    const cancelled = new AbortController();
    context.handlerStarted();
    context.onEnd(() => cancelled.abort());
    void channel
      .unary({
        path,
        message,
        metadata: passedOn(call.metadata),
        deadline: call.getDeadline(),
        signal: cancelled.signal,
        onHeaders: (headers) => call.sendMetadata(passedOn(headers)),
      })
      .then(
        (answer) => callback(null, answer.message, passedOn(answer.trailers)),
        (error: unknown) => callback(passedBack(error)),
      )
      .finally(() => context.handlerSettled());
  };
}

/** One question, many answers; a slow reader slows the notary down, through flow control. */
export function forwardStream(
  channel: NotaryChannel,
  path: string,
): handleServerStreamingCall<OwnRequest<Buffer>, Buffer> {
  return (call) => {
    const { message, context } = call.request;
    const answers = channel.stream({
      path,
      message,
      metadata: passedOn(call.metadata),
      deadline: call.getDeadline(),
    });
    context.onEnd(() => answers.cancel());
    answers.on('metadata', (headers) => call.sendMetadata(passedOn(headers)));
    answers.on('data', (answer: Buffer) => {
      if (!call.write(answer)) pauseUntilDrained(answers, call);
    });
    answers.on('error', (error) => call.emit('error', passedBack(error)));
    answers.on('end', () => call.end());
  };
}

function pauseUntilDrained(
  answers: { pause(): unknown; resume(): unknown },
  call: ServerWritableStream<OwnRequest<Buffer>, Buffer>,
): void {
  answers.pause();
  call.once('drain', () => answers.resume());
}
