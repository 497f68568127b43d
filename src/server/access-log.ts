import type { ServerInterceptingCallInterface } from '@grpc/grpc-js';
import { status } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import type { CallContext } from './call-context.ts';
import type { CallStatus, Layering } from './call-layer.ts';
import { CallLayer } from './call-layer.ts';
import { RequestError } from './error.ts';
import { isServerFault, statusOf } from './status.ts';

/** The lowest layer: sees the end of every call, whoever ended it, and writes one line about it. */
export function accessLog(logger: Logger): Layering {
  return (below, context) => new LoggedCall(below, context, logger);
}

class LoggedCall extends CallLayer {
  readonly #logger: Logger;
  #ours = false;
  #ended = false;

  constructor(below: ServerInterceptingCallInterface, context: CallContext, logger: Logger) {
    super(below, context);
    this.#logger = logger;
    // grpc-js answers some calls by itself, below all interceptors (deadline, size, compression): those pass here too.
    const send = below.sendStatus;
    below.sendStatus = (answer) => {
      const final = this.#ours ? answer : restate(answer, context);
      this.#end(final.code);
      send.call(below, final);
    };
  }

  /** One status a call: layers may end one while its handler still works on it. */
  override sendStatus(answer: CallStatus): void {
    if (this.#ended) return;
    this.#ours = true;
    super.sendStatus(answer);
  }

  /** After the status nothing more is sent: a write behind the end of an HTTP/2 stream would keep the end from going out. */
  override sendMessage(message: unknown, callback: () => void): void {
    if (!this.#ended) super.sendMessage(message, callback);
  }

  override onCancel(): void {
    this.#end(this.context.expired ? status.DEADLINE_EXCEEDED : status.CANCELLED);
    super.onCancel();
  }

  /** No leaves, no checkpoints, no metadata: only what is named here. */
  #end(code: status): void {
    if (this.#ended) return;
    this.#ended = true;
    const { context } = this;
    context.end();
    const level = levelOf(code);
    if (!this.#logger.isLevelEnabled(level)) return;
    this.#logger[level](
      {
        requestId: context.id,
        method: context.method.name,
        code: status[code],
        durationMs: Math.round((performance.now() - context.startedAtMs) * 1000) / 1000,
        cluster: context.clusterId,
        anchor: context.anchorId,
        leafCount: context.leafCount,
        submitter: context.submitter,
        peer: context.peer,
        error: isServerFault(context.error) ? describeError(context.error) : undefined,
      },
      'call',
    );
  }
}

function levelOf(code: status): 'info' | 'warn' | 'error' {
  switch (code) {
    case status.INTERNAL:
    case status.UNKNOWN:
    case status.DATA_LOSS:
      return 'error';
    case status.UNAVAILABLE:
    case status.RESOURCE_EXHAUSTED:
      return 'warn';
    default:
      return 'info';
  }
}

/** What grpc-js said by itself, in the words and details of our own statuses. */
function restate(answer: CallStatus, context: CallContext): CallStatus {
  const details = answer.details ?? '';
  switch (answer.code) {
    case status.DEADLINE_EXCEEDED:
      return statusOf(new RequestError('DEADLINE_EXCEEDED', 'the deadline passed'), context);
    case status.RESOURCE_EXHAUSTED:
      return statusOf(new RequestError('MESSAGE_TOO_LARGE', `${details}: split the request`), context);
    case status.INTERNAL:
      if (/decompress/.test(details)) {
        return statusOf(new RequestError('MALFORMED_MESSAGE', 'the message cannot be decompressed'), context);
      }
      if (/grpc-timeout/.test(details)) {
        return statusOf(
          new RequestError('MALFORMED_TIMEOUT', 'the header grpc-timeout is malformed'),
          context,
        );
      }
      context.error = new Error(details);
      return statusOf(context.error, context);
    default:
      return answer;
  }
}

/** Messages, stacks and codes of an error and its causes; other properties (of a database error: row values) stay out. */
function describeError(error: unknown, depth = 0): unknown {
  if (error === undefined) return undefined;
  if (!(error instanceof Error)) return { message: String(error).slice(0, 500) };
  return {
    type: error.name,
    code: 'code' in error ? String(error.code) : undefined,
    message: error.message.slice(0, 500),
    stack: error.stack?.slice(0, 2_000),
    cause: depth < 4 ? describeError(error.cause, depth + 1) : undefined,
  };
}
