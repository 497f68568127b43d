import type { Sender } from '../../src/server/read-gate.ts';

/** Sends what it is told to, and notes what the gate says. */
export class FakeSender implements Sender {
  readonly connection: string;
  outstandingBytes: number;
  decompressing = false;
  state: 'new' | 'inside' | 'evicted' | 'refused' = 'new';

  constructor(connection: string, outstandingBytes = 1) {
    this.connection = connection;
    this.outstandingBytes = outstandingBytes;
  }

  granted(): void {
    this.state = 'inside';
  }

  evicted(): void {
    this.state = 'evicted';
  }

  refusedForMemory(): void {
    this.state = 'refused';
  }
}
