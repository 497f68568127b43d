import type { ServerHttp2Stream } from 'node:http2';
import type { ServerInterceptingCallInterface } from '@grpc/grpc-js';
import type { Received } from '../rpc/service-definition.ts';
import type { CallContext } from './call-context.ts';
import type { CallStatus, Layering } from './call-layer.ts';
import { CallLayer } from './call-layer.ts';
import type { RequestErrorCode } from './error.ts';
import { RequestError } from './error.ts';
import type { OwnRequest } from './handler.ts';
import { FREE_READ_BYTES, MAX_INFLATION, MAX_REQUEST_STREAM_BYTES } from './limits.ts';
import type { MemoryBudget } from './memory-budget.ts';
import type { ReadGate, Sender } from './read-gate.ts';
import { FRAME_HEADER_BYTES, FrameHeaderReader, forgetChunks, requestStreamOf } from './request-stream.ts';
import { statusOf } from './status.ts';
import type { UnreadAnswers } from './unread-answers.ts';

/**
 * Decides which bytes are taken in: how many of one message, of one stream and of all calls together, and from how many
 * senders of big messages at once. Turns what cannot be decoded into INVALID_ARGUMENT. And charges big answers until they are
 * read.
 */
export function admission(gate: ReadGate, budget: MemoryBudget, unread: UnreadAnswers): Layering {
  return (below, context) =>
    context.method.requestStream
      ? new StreamingAdmission(below, context, requestStreamOf(lowest(below)))
      : new Admission(below, context, requestStreamOf(lowest(below)), gate, budget, unread);
}

/** The call that grpc-js made, under the layers that are ours. */
function lowest(call: ServerInterceptingCallInterface): ServerInterceptingCallInterface {
  return call instanceof CallLayer ? call.lowest : call;
}

abstract class BoundedCall extends CallLayer {
  protected readonly stream: ServerHttp2Stream | undefined;
  protected refused = false;
  #watching = false;

  constructor(
    below: ServerInterceptingCallInterface,
    context: CallContext,
    stream: ServerHttp2Stream | undefined,
  ) {
    super(below, context);
    this.stream = stream;
  }

  override startRead(): void {
    if (this.refused) return;
    if (!this.#watching) {
      if (this.stream === undefined) {
        this.context.error = new Error('grpc-js has changed: no HTTP/2 stream under the call');
        this.sendStatus(statusOf(this.context.error, this.context));
        return;
      }
      this.#watching = true;
      // Ahead of grpc-js's own listener, which would buffer first and refuse later.
      this.stream.prependListener('data', (chunk: Buffer) => {
        if (!this.refused) this.arrived(chunk);
      });
    }
    super.startRead();
  }

  protected abstract arrived(chunk: Buffer): void;

  protected refuse(code: RequestErrorCode, message: string): void {
    if (this.refused) return;
    this.refused = true;
    this.sendStatus(statusOf(new RequestError(code, message), this.context));
  }

  protected refuseMalformed(error: unknown): void {
    if (error instanceof RequestError) this.refuse(error.code, error.message);
    else this.refuse('MALFORMED_MESSAGE', 'the request message cannot be decoded');
  }
}

class Admission extends BoundedCall implements Sender {
  readonly connection: unknown;
  readonly #gate: ReadGate;
  readonly #budget: MemoryBudget;
  readonly #unread: UnreadAnswers;
  readonly #header = new FrameHeaderReader();
  #expectedBytes: number | undefined;
  #promisedBytes = 0;
  #arrivedBytes = 0;
  #heldBytes = 0;
  #complete = false;
  #released = false;

  constructor(
    below: ServerInterceptingCallInterface,
    context: CallContext,
    stream: ServerHttp2Stream | undefined,
    gate: ReadGate,
    budget: MemoryBudget,
    unread: UnreadAnswers,
  ) {
    super(below, context, stream);
    this.#gate = gate;
    this.#budget = budget;
    this.#unread = unread;
    this.connection = stream?.session ?? context.peer;
    context.onRequestDone(() => {
      this.#released = true;
      this.#budget.release(this.#heldBytes);
      this.#gate.memoryFreed();
    });
  }

  protected arrived(chunk: Buffer): void {
    this.#arrivedBytes += chunk.byteLength;
    if (this.#expectedBytes === undefined) this.#readHeader(chunk);
    if (this.#expectedBytes !== undefined && this.#arrivedBytes > this.#expectedBytes) {
      this.refuse('UNEXPECTED_MESSAGE', `${this.context.method.name} takes one request message`);
    }
    if (this.refused || this.#complete) return;
    // grpc-js decompresses it in this very turn, also one that came in one piece, before the gate could hold it.
    this.#hold(this.decompressing ? Math.max(this.#arrivedBytes, this.#promisedBytes) : this.#arrivedBytes);
  }

  #readHeader(chunk: Buffer): void {
    const header = this.#header.read(chunk);
    if (header === undefined) return;
    const { maxMessageBytes } = this.context.method;
    if (header.messageBytes > maxMessageBytes) {
      const advice = this.context.method.name === 'CreateAnchor' ? ': split the batch' : '';
      this.refuse(
        'MESSAGE_TOO_LARGE',
        `the request message has ${header.messageBytes} bytes, at most ${maxMessageBytes} are taken in one call${advice}`,
      );
      return;
    }
    this.#expectedBytes = header.messageBytes + FRAME_HEADER_BYTES;
    // What a compressed message will take is known only after it has been taken.
    this.#promisedBytes = header.compressed
      ? Math.min(maxMessageBytes, header.messageBytes * MAX_INFLATION)
      : header.messageBytes;
    if (this.#promisedBytes <= FREE_READ_BYTES) {
      this.#gate.enterSmall(this);
      return;
    }
    this.stream?.pause();
    this.#gate.enter(this);
  }

  get outstandingBytes(): number {
    return this.#complete
      ? 0
      : Math.max(0, this.#promisedBytes + FRAME_HEADER_BYTES - Math.max(this.#heldBytes, this.#arrivedBytes));
  }

  get decompressing(): boolean {
    return !this.#complete && this.#arrivedBytes === this.#expectedBytes;
  }

  granted(): void {
    if (!this.#complete) this.stream?.resume();
  }

  evicted(): void {
    this.refuse(
      'READ_TIMEOUT',
      'the request message came too slowly while others waited: send smaller ones, or again later',
    );
  }

  refusedForMemory(): void {
    this.#refuseForMemory();
  }

  /** Counts bytes when they have come, not when they are announced: announcing costs a hostile sender nothing. */
  #hold(bytes: number): boolean {
    const more = bytes - this.#heldBytes;
    while (!this.#released && !this.#budget.reserve(more)) {
      if (this.#evictOverdue()) continue;
      this.#refuseForMemory();
      return false;
    }
    // Whoever was evicted to make room may have been this very call.
    if (this.#released) return false;
    this.#heldBytes = bytes;
    return true;
  }

  #evictOverdue(): boolean {
    return this.#gate.evictOverdue() || this.#unread.evictOverdue();
  }

  #refuseForMemory(): void {
    this.refuse('MEMORY_BUDGET_FULL', 'too many calls are in memory at this moment: try again later');
  }

  /** What was written to the log is answered in any case: refused, it would be sent, and written, again. */
  override sendMessage(message: unknown, callback: () => void): void {
    const { stream } = this;
    while (this.context.method.read && this.#budget.full) {
      if (this.#evictOverdue()) continue;
      this.#refuseForMemory();
      return;
    }
    super.sendMessage(message, () => {
      if (stream !== undefined) this.#unread.read(stream);
      callback();
    });
    const unreadBytes = stream?.writableLength ?? 0;
    if (stream === undefined || unreadBytes <= FREE_READ_BYTES) return;
    // The caller hears it only if it reads on; the log says it in any case, rather than what the broken write looks like.
    this.#unread.add(stream, unreadBytes, () =>
      this.refuse('MEMORY_BUDGET_FULL', 'the answer was not read in time, and others needed its memory'),
    );
  }

  override onReceiveMessage(message: unknown): void {
    if (this.refused || this.#complete) return;
    this.#complete = true;
    forgetChunks(this.lowest);
    const received = message as Received<unknown>;
    if (!received.ok) {
      this.refuseMalformed(received.error);
      return;
    }
    if (!this.#hold(received.byteLength)) return;
    const { context } = this;
    const request: OwnRequest<unknown> = { message: received.message, context };
    super.onReceiveMessage(context.method.own ? request : received.message);
  }

  /** Nothing is done for the call before: one that never says that it has ended would hold its message for ever. */
  override onReceiveHalfClose(): void {
    this.#gate.leave(this);
    super.onReceiveHalfClose();
  }

  override sendStatus(status: CallStatus): void {
    this.refused = true;
    this.#gate.leave(this);
    super.sendStatus(status);
  }

  override onCancel(): void {
    this.refused = true;
    this.#gate.leave(this);
    super.onCancel();
  }
}

/** Reflection: questions are small, but there may be many. */
class StreamingAdmission extends BoundedCall {
  #arrivedBytes = 0;

  protected arrived(chunk: Buffer): void {
    this.#arrivedBytes += chunk.byteLength;
    if (this.#arrivedBytes > MAX_REQUEST_STREAM_BYTES) {
      this.refuse('MESSAGE_TOO_LARGE', `at most ${MAX_REQUEST_STREAM_BYTES} bytes are taken in one stream`);
    }
  }

  override onReceiveMessage(message: unknown): void {
    const received = message as Received<unknown>;
    if (received.ok) super.onReceiveMessage(received.message);
    else this.refuseMalformed(received.error);
  }
}
