import type { handleUnaryCall } from '@grpc/grpc-js';
import type { CallContext } from './call-context.ts';
import { statusOf } from './status.ts';

/** How requests of our own services reach their handlers. */
export interface OwnRequest<T> {
  readonly message: T;
  readonly context: CallContext;
}

export type UnaryHandler<I, O> = (message: I, context: CallContext) => O | Promise<O>;

/** A grpc-js handler that answers once, whatever happens. */
export function unary<I, O>(handler: UnaryHandler<I, O>): handleUnaryCall<OwnRequest<I>, O> {
  return (call, callback) => {
    const { message, context } = call.request;
    void settle(handler, message, context).then(
      (answer) => callback(null, answer),
      (error) => callback(statusOf(error, context)),
    );
  };
}

async function settle<I, O>(handler: UnaryHandler<I, O>, message: I, context: CallContext): Promise<O> {
  context.handlerStarted();
  try {
    context.throwIfExpired();
    return await handler(message, context);
  } catch (error) {
    context.error = error;
    throw error;
  } finally {
    context.handlerSettled();
  }
}
