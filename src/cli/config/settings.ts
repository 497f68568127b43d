// Every setting there is, once. The flags, the environment variables, their parsing, the help and docs/configuration.md
// are all read from this table.

import { DEFAULT_APPLICATION_ROLE } from '../../postgres/application-role.ts';
import { parseOriginPrefix } from './origin-prefix.ts';
import {
  bytesBetween,
  durationBetween,
  integerBetween,
  oneOf,
  type ParseValue,
  parseAddress,
  parseBoolean,
  parseListenAddress,
  parseLogKeys,
  parsePath,
  parsePostgresUrl,
  parseRole,
  parseSeed,
} from './values.ts';

export interface Setting<T> {
  readonly env: `QUARTERMASTER_${string}`;
  /** undefined: from the environment only, since flags are visible to every user of the machine (`ps`). */
  readonly flag: `--${string}` | undefined;
  /** What stands for the value in help, for example `host:port`. */
  readonly placeholder: string;
  readonly parse: ParseValue<T>;
  /** As one would write it; undefined where there is no default. */
  readonly fallback: string | undefined;
  readonly description: string;
  /** Never printed, not even where it is wrong. */
  readonly secret: boolean;
  /** Whether the flag may be given several times; `parse` gets the values as lines. */
  readonly repeatable?: true;
}

export interface SettingWithDefault<T> extends Setting<T> {
  readonly fallback: string;
}

type Definition<T> = Omit<Setting<T>, 'secret' | 'fallback'> & { readonly secret?: true };

function optional<T>(definition: Definition<T>): Setting<T> {
  return { secret: false, ...definition, fallback: undefined };
}

function withDefault<T>(fallback: string, definition: Definition<T>): SettingWithDefault<T> {
  return { secret: false, ...definition, fallback };
}

/** The protocol's bound (GetLog.max_leaf_count) and what such a batch needs as a message. */
export const LARGEST_LEAF_COUNT = 4_194_304;

export const SETTINGS = {
  listen: withDefault('127.0.0.1:50051', {
    env: 'QUARTERMASTER_LISTEN',
    flag: '--listen',
    placeholder: 'host:port',
    parse: parseAddress,
    description:
      'Where to serve gRPC. Port 0 takes a free one. An address that other machines can reach needs TLS, or `--insecure-listen`.',
  }),
  insecureListen: withDefault('false', {
    env: 'QUARTERMASTER_INSECURE_LISTEN',
    flag: '--insecure-listen',
    placeholder: 'boolean',
    parse: parseBoolean,
    description:
      'Serve without TLS on an address that other machines can reach. For networks that encrypt by themselves, such as a service mesh.',
  }),
  tlsCertFile: optional({
    env: 'QUARTERMASTER_TLS_CERT_FILE',
    flag: '--tls-cert-file',
    placeholder: 'file',
    parse: parsePath,
    description: 'Certificate chain of the server (PEM). Needs `--tls-key-file`.',
  }),
  tlsKeyFile: optional({
    env: 'QUARTERMASTER_TLS_KEY_FILE',
    flag: '--tls-key-file',
    placeholder: 'file',
    parse: parsePath,
    description: 'Private key of the server (PEM). Needs `--tls-cert-file`.',
  }),
  originPrefix: optional({
    env: 'QUARTERMASTER_ORIGIN_PREFIX',
    flag: '--origin-prefix',
    placeholder: 'prefix',
    parse: parseOriginPrefix,
    description:
      "Names new clusters' logs: the origin of a cluster is this, a `/`, and its id, fixed when it is created. A host name that you own, with a path, such as `log.example.org/quartermaster`.",
  }),
  seed: optional({
    env: 'QUARTERMASTER_SEED',
    flag: undefined,
    placeholder: 'hex or base64',
    parse: parseSeed,
    secret: true,
    description:
      "The master seed, 32 bytes, from which every cluster's signing key is derived (`quartermaster key generate` makes one). Keep a copy: without it no log can be continued. Not a flag, since flags are visible in `ps`.",
  }),
  seedFile: optional({
    env: 'QUARTERMASTER_SEED_FILE',
    flag: '--seed-file',
    placeholder: 'file',
    parse: parsePath,
    description: 'A file that holds the master seed, instead of `QUARTERMASTER_SEED`.',
  }),
  databaseUrl: optional({
    env: 'QUARTERMASTER_DATABASE_URL',
    flag: '--database-url',
    placeholder: 'url',
    parse: parsePostgresUrl,
    secret: true,
    description:
      'The Postgres database, as the application role: `postgres://user:password@host:5432/database`. Where it holds a password, prefer the environment: flags are visible in `ps`.',
  }),
  migrationDatabaseUrl: optional({
    env: 'QUARTERMASTER_MIGRATION_DATABASE_URL',
    flag: '--migration-database-url',
    placeholder: 'url',
    parse: parsePostgresUrl,
    secret: true,
    description: 'The same database as the role that owns the tables, for `quartermaster migrate` alone.',
  }),
  applicationRole: withDefault(DEFAULT_APPLICATION_ROLE, {
    env: 'QUARTERMASTER_APPLICATION_ROLE',
    flag: '--application-role',
    placeholder: 'role',
    parse: parseRole,
    description: 'The role that the server logs in as; made, with its grants, where it does not exist.',
  }),
  applicationPassword: optional({
    env: 'QUARTERMASTER_APPLICATION_PASSWORD',
    flag: undefined,
    placeholder: 'password',
    parse: (text) => text,
    secret: true,
    description: 'Sets the password of the application role; without it the password stays as it is.',
  }),
  databasePoolSize: withDefault('10', {
    env: 'QUARTERMASTER_DATABASE_POOL_SIZE',
    flag: '--database-pool-size',
    placeholder: 'count',
    parse: integerBetween(2, 100),
    description:
      'Most connections to Postgres, four tenths of them for reads (at least two). Ten are enough for one process.',
  }),
  namedStatements: withDefault('true', {
    env: 'QUARTERMASTER_NAMED_STATEMENTS',
    flag: '--named-statements',
    placeholder: 'boolean',
    parse: parseBoolean,
    description:
      'Prepare statements by name. Turn off behind PgBouncer before 1.21 in transaction mode, which loses them; see `docs/pgbouncer.md`.',
  }),
  databaseStartTimeoutMs: withDefault('60s', {
    env: 'QUARTERMASTER_DATABASE_START_TIMEOUT',
    flag: '--database-start-timeout',
    placeholder: 'time',
    parse: durationBetween('0s', '1h'),
    description: 'How long to wait at the start for a database that is not there yet.',
  }),
  databaseTimeoutMs: withDefault('30s', {
    env: 'QUARTERMASTER_DATABASE_TIMEOUT',
    flag: '--database-timeout',
    placeholder: 'time',
    parse: durationBetween('1s', '10m'),
    description:
      'How long to wait for the answer to a statement before its connection, and all that were silent since, are given up. What became of an append is then found out on a new one. The leaves of a batch above 256 KiB have a second more for each MiB.',
  }),
  allowUnsafeDatabase: withDefault('false', {
    env: 'QUARTERMASTER_ALLOW_UNSAFE_DATABASE',
    flag: '--allow-unsafe-database',
    placeholder: 'boolean',
    parse: parseBoolean,
    description:
      'Start on a database that runs with `fsync` or `synchronous_commit` off, and so may lose acknowledged anchors in a crash. For experiments.',
  }),
  maxLeafCount: withDefault('1048576', {
    env: 'QUARTERMASTER_MAX_LEAF_COUNT',
    flag: '--max-leaf-count',
    placeholder: 'count',
    parse: integerBetween(1, LARGEST_LEAF_COUNT),
    description:
      'Most leaves in one CreateAnchor call; GetLog tells it to clients. A gateway that sends its whole backlog in one call, and cannot split it, is refused beyond this until the limit is raised (with `--max-message-bytes`, 34 bytes a leaf).',
  }),
  maxMessageBytes: withDefault('40MiB', {
    env: 'QUARTERMASTER_MAX_MESSAGE_BYTES',
    flag: '--max-message-bytes',
    placeholder: 'size',
    parse: bytesBetween('1MiB', '160MiB'),
    description: 'Largest request message. A leaf takes 34 bytes of it.',
  }),
  memoryBudgetBytes: withDefault('256MiB', {
    env: 'QUARTERMASTER_MEMORY_BUDGET',
    flag: '--memory-budget',
    placeholder: 'size',
    parse: bytesBetween('1MiB', '64GiB'),
    description:
      'Most bytes of requests, and of big answers not yet read, held at once; at least `--max-message-bytes`. Calls beyond it are told to come again (RESOURCE_EXHAUSTED), big ones after waiting for 10 s. The process takes up to three times as much, for copies on their way to the database, and 192 MiB: 1 GiB at the default; see `docs/performance.md`.',
  }),
  reflection: withDefault('false', {
    env: 'QUARTERMASTER_REFLECTION',
    flag: '--reflection',
    placeholder: 'boolean',
    parse: parseBoolean,
    description:
      'Offer gRPC server reflection, so that tools such as grpcurl can list and describe the services.',
  }),
  maxConnectionAgeMs: withDefault('30m', {
    env: 'QUARTERMASTER_MAX_CONNECTION_AGE',
    flag: '--max-connection-age',
    placeholder: 'time',
    parse: durationBetween('1s', '24h'),
    description:
      'After this time, give or take a tenth, clients are asked to connect anew, so that replicas share the load.',
  }),
  shutdownGraceMs: withDefault('25s', {
    env: 'QUARTERMASTER_SHUTDOWN_GRACE',
    flag: '--shutdown-grace',
    placeholder: 'time',
    parse: durationBetween('0s', '1h'),
    description: 'On SIGTERM or SIGINT, how long calls in flight may take before they are cut off.',
  }),
  logLevel: withDefault('info', {
    env: 'QUARTERMASTER_LOG_LEVEL',
    flag: '--log-level',
    placeholder: 'level',
    parse: oneOf(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']),
    description: 'Least severity of what is logged; one of trace, debug, info, warn, error, fatal, silent.',
  }),
  dataDirectory: withDefault('.quartermaster', {
    env: 'QUARTERMASTER_DATA_DIR',
    flag: '--data-dir',
    placeholder: 'directory',
    parse: parsePath,
    description: 'Where `quartermaster dev` keeps its Postgres, its signing seed and a sample log.',
  }),
  endpoint: withDefault('127.0.0.1:50051', {
    env: 'QUARTERMASTER_ENDPOINT',
    flag: '--endpoint',
    placeholder: 'host:port',
    parse: parseAddress,
    description: 'The notary that client commands talk to.',
  }),
  caFile: optional({
    env: 'QUARTERMASTER_CA_FILE',
    flag: '--ca-file',
    placeholder: 'file',
    parse: parsePath,
    description:
      'Client commands speak TLS and trust the authorities in this file (PEM). Without it they speak plain text.',
  }),
  agentListen: withDefault('127.0.0.1:50052', {
    env: 'QUARTERMASTER_AGENT_LISTEN',
    flag: '--listen',
    placeholder: 'address',
    parse: parseListenAddress,
    description:
      'Where the agent takes the calls of gateways: `unix:/path` or `host:port`. It asks nobody who they are, so that an address that other machines can reach needs `--insecure-listen`.',
  }),
  spoolDirectory: withDefault('.quartermaster-spool', {
    env: 'QUARTERMASTER_SPOOL_DIR',
    flag: '--spool',
    placeholder: 'directory',
    parse: parsePath,
    description:
      'Where the agent keeps calls while the notary is away. On a disk that survives the process; one agent at a time.',
  }),
  spoolMaxBytes: withDefault('1GiB', {
    env: 'QUARTERMASTER_SPOOL_MAX_BYTES',
    flag: '--spool-max-bytes',
    placeholder: 'size',
    parse: bytesBetween('64KiB', '1024GiB'),
    description:
      'Most bytes of calls that wait, 32 for each leaf and 1 KiB for each call, rounded up to 4 KiB. Calls beyond it are told to come again (RESOURCE_EXHAUSTED). Dead letters are not counted.',
  }),
  spoolRetentionMs: withDefault('24h', {
    env: 'QUARTERMASTER_SPOOL_RETENTION',
    flag: '--spool-retention',
    placeholder: 'time',
    parse: durationBetween('0s', '720h'),
    description:
      'How long the agent remembers a call of the spool that is anchored, so that a retry of the same leaves finds that anchor; the newest 100,000 at most.',
  }),
  tryTimeoutMs: withDefault('30s', {
    env: 'QUARTERMASTER_TRY_TIMEOUT',
    flag: '--try-timeout',
    placeholder: 'time',
    parse: durationBetween('100ms', '1h'),
    description:
      'How long the agent waits for an answer of the notary before the call goes to the spool; a second more for each MiB of leaves.',
  }),
  maxCalls: withDefault('1024', {
    env: 'QUARTERMASTER_MAX_CALLS',
    flag: '--max-calls',
    placeholder: 'count',
    parse: integerBetween(1, 4_096),
    description: 'Most CreateAnchor calls that wait at the agent at once.',
  }),
  logKeys: optional({
    env: 'QUARTERMASTER_LOG_KEYS',
    flag: '--key',
    placeholder: 'vkey',
    parse: parseLogKeys,
    repeatable: true,
    description:
      'A verifier key of a log (`quartermaster key show`); may be repeated, in the variable apart by blanks. With one the agent verifies every answer to CreateAnchor before it passes it on, and takes anchors in no log without a key.',
  }),
} as const satisfies Readonly<Record<string, Setting<unknown>>>;

export type SettingName = keyof typeof SETTINGS;

type ValueOf<S> =
  S extends SettingWithDefault<infer T> ? T : S extends Setting<infer T> ? T | undefined : never;

/** One typed object for the settings of a command. */
export type Configuration<Names extends SettingName = SettingName> = {
  readonly [Name in Names]: ValueOf<(typeof SETTINGS)[Name]>;
};

/** Which settings each command takes, in the order of its help. */
export const SETTINGS_OF = {
  serve: [
    'listen',
    'insecureListen',
    'tlsCertFile',
    'tlsKeyFile',
    'originPrefix',
    'seed',
    'seedFile',
    'databaseUrl',
    'databasePoolSize',
    'namedStatements',
    'databaseStartTimeoutMs',
    'databaseTimeoutMs',
    'allowUnsafeDatabase',
    'maxLeafCount',
    'maxMessageBytes',
    'memoryBudgetBytes',
    'reflection',
    'maxConnectionAgeMs',
    'shutdownGraceMs',
    'logLevel',
  ],
  dev: ['listen', 'dataDirectory', 'shutdownGraceMs', 'logLevel'],
  migrate: ['migrationDatabaseUrl', 'applicationRole', 'applicationPassword', 'databaseStartTimeoutMs'],
  fsck: ['databaseUrl', 'namedStatements', 'seed', 'seedFile'],
  agent: [
    'agentListen',
    'insecureListen',
    'endpoint',
    'caFile',
    'spoolDirectory',
    'spoolMaxBytes',
    'spoolRetentionMs',
    'logKeys',
    'tryTimeoutMs',
    'maxCalls',
    'maxMessageBytes',
    'memoryBudgetBytes',
    'shutdownGraceMs',
    'logLevel',
  ],
  client: ['endpoint', 'caFile'],
} as const satisfies Readonly<Record<string, readonly SettingName[]>>;
