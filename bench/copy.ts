/** COPY ... FROM STDIN in the binary format (postgresql.org/docs/current/sql-copy.html), over node-postgres. */
import { once } from 'node:events';
import pg from 'pg';

/** What pg's connection has for COPY and its types do not tell. */
interface CopyConnection extends pg.Connection {
  sendCopyFromChunk(chunk: Buffer): void;
  endCopyFrom(): void;
}

/** A COPY that takes rows until it is ended. On a connection of its own, in a transaction of its own. */
export class Copy {
  readonly #client: pg.Client;
  readonly #ready: Promise<CopyConnection>;
  readonly #done: Promise<void>;

  private constructor(client: pg.Client, table: string, columns: readonly string[]) {
    this.#client = client;
    const ready = Promise.withResolvers<CopyConnection>();
    const done = Promise.withResolvers<void>();
    const fail = (error: Error) => {
      ready.reject(error);
      done.reject(error);
    };
    client.query({
      submit: (connection) => {
        connection.query(`COPY ${table} (${columns.join(', ')}) FROM STDIN (FORMAT binary)`);
      },
      // What pg calls on whoever submitted a query.
      handleCopyInResponse: (connection: CopyConnection) => ready.resolve(connection),
      handleCommandComplete: () => {},
      handleReadyForQuery: () => done.resolve(),
      handleError: fail,
    } as pg.Submittable);
    this.#ready = ready.promise;
    this.#done = done.promise;
    // Heard by whoever writes or ends.
    this.#ready.catch(() => {});
    this.#done.catch(() => {});
  }

  static async begin(databaseUrl: string, table: string, columns: readonly string[]): Promise<Copy> {
    const client = new pg.Client({ connectionString: databaseUrl });
    await client.connect();
    await client.query('BEGIN');
    const copy = new Copy(client, table, columns);
    (await copy.#ready).sendCopyFromChunk(HEADER);
    return copy;
  }

  /** @param rows whole rows, as `RowWriter` makes them */
  async write(rows: Buffer): Promise<void> {
    if (rows.length === 0) return;
    const connection = await this.#ready;
    connection.sendCopyFromChunk(rows);
    if (connection.stream.writableNeedDrain)
      await Promise.race([once(connection.stream, 'drain'), this.#done]);
  }

  /** Commits what was written and closes the connection. */
  async end(): Promise<void> {
    const connection = await this.#ready;
    connection.sendCopyFromChunk(TRAILER);
    connection.endCopyFrom();
    await this.#done;
    await this.#client.query('COMMIT');
    await this.#client.end();
  }
}

/** Signature, flags, and the length of a header extension. */
const HEADER = Buffer.concat([Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1'), Buffer.alloc(8)]);
const TRAILER = Buffer.from([0xff, 0xff]);
/** Microseconds between the epochs of Unix and Postgres, 1970 and 2000. */
const POSTGRES_EPOCH_US = 946_684_800_000_000n;

/** Rows of one table, field by field in the order of its COPY's columns. */
export class RowWriter {
  readonly #columns: number;
  #buffer = Buffer.allocUnsafe(1024 * 1024);
  #end = 0;

  constructor(columns: number) {
    this.#columns = columns;
  }

  /** Starts a row. */
  row(): this {
    this.#room(2);
    this.#end = this.#buffer.writeInt16BE(this.#columns, this.#end);
    return this;
  }

  bytes(value: Uint8Array): this {
    this.#length(value.length);
    this.#buffer.set(value, this.#end);
    this.#end += value.length;
    return this;
  }

  uuid(value: string): this {
    this.#length(16);
    this.#end += this.#buffer.write(value.replaceAll('-', ''), this.#end, 16, 'hex');
    return this;
  }

  int2(value: number): this {
    this.#length(2);
    this.#end = this.#buffer.writeInt16BE(value, this.#end);
    return this;
  }

  int4(value: number): this {
    this.#length(4);
    this.#end = this.#buffer.writeInt32BE(value, this.#end);
    return this;
  }

  int8(value: number): this {
    this.#length(8);
    this.#end = this.#buffer.writeBigInt64BE(BigInt(value), this.#end);
    return this;
  }

  time(unixMs: number): this {
    this.#length(8);
    this.#end = this.#buffer.writeBigInt64BE(BigInt(unixMs) * 1000n - POSTGRES_EPOCH_US, this.#end);
    return this;
  }

  /** The rows since the last time. */
  take(): Buffer {
    const rows = this.#buffer.subarray(0, this.#end);
    this.#buffer = Buffer.allocUnsafe(this.#buffer.length);
    this.#end = 0;
    return rows;
  }

  #length(value: number): void {
    this.#room(4 + value);
    this.#end = this.#buffer.writeInt32BE(value, this.#end);
  }

  #room(bytes: number): void {
    if (this.#end + bytes <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(2 * this.#buffer.length + bytes);
    this.#buffer.copy(larger, 0, 0, this.#end);
    this.#buffer = larger;
  }
}
