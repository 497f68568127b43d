import { openTestDatabase, type TestDatabase } from '../support/database.ts';
import { createTemplate } from '../support/postgres-template.ts';
import { eventually } from '../support/postgres-waits.ts';
import { DebianPostgres, PostgresHost } from './debian-postgres.ts';
import { MovingAddress } from './moving-address.ts';

const STANDBY = 'standby';

/**
 * A primary and its standby by streaming replication, which goes over an address of its own, so that it can be cut; and the
 * address that servers and clients of the database use, which moves at a failover.
 */
export class ReplicatedPostgres {
  readonly host: PostgresHost;
  readonly address: MovingAddress;
  /** Everything in it goes by `address`. */
  readonly database: TestDatabase;
  readonly #replication: MovingAddress;
  readonly #servers: DebianPostgres[] = [];
  #primary: DebianPostgres;
  #standby: DebianPostgres | undefined;

  private constructor(
    host: PostgresHost,
    primary: DebianPostgres,
    address: MovingAddress,
    replication: MovingAddress,
    database: TestDatabase,
  ) {
    this.host = host;
    this.address = address;
    this.database = database;
    this.#primary = primary;
    this.#replication = replication;
    this.#servers.push(primary);
  }

  static async start(): Promise<ReplicatedPostgres> {
    const host = await PostgresHost.open();
    const primary = await DebianPostgres.initialize(host, 'first');
    await primary.start();
    const address = await MovingAddress.open(primary.port);
    const replication = await MovingAddress.open(primary.port);
    const url = new URL(primary.superuserUrl);
    url.port = String(address.port);
    const database = await openTestDatabase(await createTemplate(url.href));
    return new ReplicatedPostgres(host, primary, address, replication, database);
  }

  get primary(): DebianPostgres {
    return this.#primary;
  }

  get standby(): DebianPostgres {
    if (this.#standby === undefined) throw new Error('there is no standby');
    return this.#standby;
  }

  /** Resolves when it streams. Its commits can be waited for under the name that `synchronous_standby_names` has here. */
  async addStandby(): Promise<void> {
    this.#replication.moveTo(this.#primary.port);
    const name = `${STANDBY}${this.#servers.length}`;
    this.#standby = await DebianPostgres.copyOf(this.host, name, this.#replication.port, ['-R']);
    this.#servers.push(this.#standby);
    await this.#standby.start();
    await this.standbyHasAll();
  }

  /** Resolves when the standby has everything that is in the primary now. */
  async standbyHasAll(): Promise<void> {
    const [now] = await this.#primary.query<{ lsn: string }>('SELECT pg_current_wal_lsn()::text AS lsn');
    await eventually(async () => {
      const [row] = await this.standby.query<{ reached: boolean | null }>(
        'SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn AS reached',
        [now?.lsn],
      );
      return row?.reached === true ? true : undefined;
    });
  }

  /** From here on the standby gets nothing. Resolves when the primary knows. */
  async cutReplication(): Promise<void> {
    this.#replication.cut();
    await eventually(async () => {
      const senders = await this.#primary.query('SELECT FROM pg_stat_replication');
      return senders.length === 0 ? true : undefined;
    });
  }

  /** From here on commits wait for the standby. */
  async waitForStandby(): Promise<void> {
    await this.#primary.query(`ALTER SYSTEM SET synchronous_standby_names = '*'`);
    await this.#primary.query('SELECT pg_reload_conf()');
    await eventually(async () => {
      const [sender] = await this.#primary.query<{ isWaitedFor: boolean }>(
        `SELECT sync_state = 'sync' AS "isWaitedFor" FROM pg_stat_replication`,
      );
      return sender?.isWaitedFor === true ? true : undefined;
    });
  }

  /** The primary goes down at once and comes back, as it was on disk. */
  async restartPrimary(): Promise<void> {
    await this.#primary.crash();
    await this.#primary.start();
  }

  /** The primary is gone without a word, the standby takes its place, and its address. */
  async failOver(): Promise<void> {
    const promoted = this.standby;
    await this.#primary.crash();
    // What it had not got is lost with the primary.
    this.#replication.cut();
    await promoted.promote();
    this.#primary = promoted;
    this.#standby = undefined;
    this.address.moveTo(promoted.port);
  }

  /** Another server takes the place of the primary, which is gone. */
  async replaceWith(server: DebianPostgres): Promise<void> {
    await this.#primary.crash();
    this.#servers.push(server);
    this.#primary = server;
    this.address.moveTo(server.port);
  }

  async stop(): Promise<void> {
    await this.database.storage.close();
    await this.address.close();
    await this.#replication.close();
    for (const server of this.#servers) await server.crash();
    await this.host.remove();
  }
}
