import { closeSync, openSync, writeSync } from 'node:fs';

/** One attempt of a client, written before it is made. Hashes are hex. */
export interface SentLine {
  readonly type: 'sent';
  /** Milliseconds since the epoch, of the client's process. */
  readonly at: number;
  /** Names the attempt. */
  readonly call: string;
  readonly client: string;
  readonly server: number;
  readonly clusterId: string;
  /** null without one. */
  readonly requestId: string | null;
  readonly root: string;
  readonly leafCount: number;
  readonly knownCheckpoint: string | null;
}

export interface AnsweredLine {
  readonly type: 'answered';
  readonly at: number;
  readonly call: string;
  readonly anchorId: string;
  readonly logIndex: number;
  readonly replayed: boolean;
  /** base64 */
  readonly record: string;
  readonly checkpoint: string;
  /** Why the client's verifier refused the answer; null where it did not. */
  readonly refusal: string | null;
}

/** A receipt of a leaf of an anchor that was answered, perhaps by another server. */
export interface ProvedLine {
  readonly type: 'proved';
  readonly at: number;
  readonly call: string;
  readonly anchorId: string;
  readonly checkpoint: string;
  readonly refusal: string | null;
}

export interface FailedLine {
  readonly type: 'failed';
  readonly at: number;
  readonly call: string;
  /** Name of the gRPC status; of an answer without what was asked for, NO_STATUS. */
  readonly code: string;
  /** ErrorInfo.reason, empty where the error came from the transport. */
  readonly reason: string;
  readonly message: string;
}

/** What a client still wanted when the run ended, long after the last fault. */
export interface PendingLine {
  readonly type: 'pending';
  readonly at: number;
  readonly client: string;
  readonly attempts: number;
}

export type CallLine = SentLine | AnsweredLine | ProvedLine | FailedLine | PendingLine;

/** JSON lines, each in the file before the call goes on. */
export class CallLog {
  readonly #file: number;

  constructor(path: string) {
    this.#file = openSync(path, 'a');
  }

  write(line: CallLine): void {
    writeSync(this.#file, `${JSON.stringify(line)}\n`);
  }

  close(): void {
    closeSync(this.#file);
  }
}
