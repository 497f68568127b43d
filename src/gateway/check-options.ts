// Options are judged at once and all together: whoever has made three mistakes is told three.

import { ChannelCredentials } from '@grpc/grpc-js';
import { NoteError, parseVkey } from '../note/index.ts';
import { GatewayError } from './error.ts';
import { type GatewayLogger, stderrLogger, unfailing } from './logger.ts';
import { memoryOutbox } from './memory-outbox.ts';
import type { Meter } from './metrics.ts';
import type { GatewayOptions } from './options.ts';
import type { Outbox } from './outbox.ts';

/** What the gateway works with: complete and in order. */
export interface Settings {
  readonly endpoint: string;
  /** lower-case UUID; undefined where submission is disabled */
  readonly clusterId: string | undefined;
  readonly outbox: Outbox;
  readonly credentials: ChannelCredentials;
  readonly maxLeaves: number;
  readonly flushIntervalMs: number;
  readonly inFlight: number;
  readonly attemptTimeoutMs: number;
  readonly minDelayMs: number;
  readonly maxDelayMs: number;
  readonly keys: readonly string[] | undefined;
  readonly blocksWhenFull: boolean;
  readonly etcdRevision: () => bigint;
  readonly onAnchored: GatewayOptions['onAnchored'];
  readonly onDeadLetter: GatewayOptions['onDeadLetter'];
  readonly log: GatewayLogger;
  readonly meter: Meter | undefined;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const LEAF_SIZE = 32;
const MAX_LEAVES = 1_048_576;
const HOUR_MS = 3_600_000;
const METER = ['createObservableGauge', 'createObservableCounter', 'addBatchObservableCallback'];

const KNOWN: Readonly<Record<string, readonly string[]>> = {
  '': [
    'endpoint',
    'clusterId',
    'outbox',
    'credentials',
    'batch',
    'retry',
    'verification',
    'whenFull',
    'etcdRevision',
    'onAnchored',
    'onDeadLetter',
    'logger',
    'metrics',
  ],
  batch: ['maxLeaves', 'maxBytes', 'flushIntervalMs', 'inFlight'],
  retry: ['attemptTimeoutMs', 'minDelayMs', 'maxDelayMs'],
  verification: ['keys'],
};

/** @throws {GatewayError} BAD_OPTIONS, with every mistake in its message */
export function checkOptions(options: GatewayOptions): Settings {
  const given: Record<string, unknown> = { ...(isObject(options) ? options : {}) };
  const check = new Check();
  check.names('', given);
  const batch = check.group(given, 'batch');
  const retry = check.group(given, 'retry');
  const verification = check.group(given, 'verification');

  const maxLeaves = check.count(batch, 'batch.maxLeaves', 1, MAX_LEAVES, 10_000);
  const maxBytes = check.count(batch, 'batch.maxBytes', LEAF_SIZE, MAX_LEAVES * LEAF_SIZE, 1_048_576);
  const minDelayMs = check.count(retry, 'retry.minDelayMs', 1, HOUR_MS, 250);
  const maxDelayMs = check.count(retry, 'retry.maxDelayMs', 1, HOUR_MS, Math.max(minDelayMs, 120_000));
  if (maxDelayMs < minDelayMs)
    check.mistake('retry.maxDelayMs', `must not be below minDelayMs, ${minDelayMs}`);
  const clusterId = check.clusterId(given.clusterId);
  const settings: Settings = {
    endpoint: check.endpoint(given.endpoint),
    clusterId,
    outbox: (check.object(given, 'outbox', ['append', 'take', 'settle']) ?? memoryOutbox()) as Outbox,
    credentials: check.credentials(given.credentials),
    maxLeaves: Math.min(maxLeaves, Math.floor(maxBytes / LEAF_SIZE)),
    flushIntervalMs: check.count(batch, 'batch.flushIntervalMs', 1, HOUR_MS, 500),
    inFlight: check.count(batch, 'batch.inFlight', 1, 64, 1),
    attemptTimeoutMs: check.count(retry, 'retry.attemptTimeoutMs', 100, HOUR_MS, 60_000),
    minDelayMs,
    maxDelayMs,
    keys: given.verification === undefined ? undefined : check.keys(verification.keys, clusterId),
    blocksWhenFull: check.oneOf(given, 'whenFull', ['reject', 'block']) === 'block',
    etcdRevision: checkedRevision(check.callback(given, 'etcdRevision') ?? (() => 0n)),
    onAnchored: check.callback(given, 'onAnchored'),
    onDeadLetter: check.callback(given, 'onDeadLetter'),
    log: unfailing(
      (check.object(given, 'logger', ['info', 'warn', 'error']) ?? stderrLogger) as GatewayLogger,
    ),
    meter: check.object(given, 'metrics', METER) as Meter | undefined,
  };
  check.done();
  return settings;
}

class Check {
  readonly #mistakes: string[] = [];

  mistake(name: string, what: string): void {
    this.#mistakes.push(`${name} ${what}`);
  }

  done(): void {
    if (this.#mistakes.length === 0) return;
    throw new GatewayError('BAD_OPTIONS', `createGateway: ${this.#mistakes.join('; ')}`);
  }

  /** A misspelt option would be one that is silently not there. */
  names(group: string, given: Readonly<Record<string, unknown>>): void {
    for (const name of Object.keys(given)) {
      if (KNOWN[group]?.includes(name)) continue;
      this.mistake(group === '' ? name : `${group}.${name}`, 'is no option');
    }
  }

  group(given: Readonly<Record<string, unknown>>, name: string): Readonly<Record<string, unknown>> {
    const value = given[name];
    if (value === undefined) return {};
    if (!isObject(value)) {
      this.mistake(name, 'must be an object');
      return {};
    }
    this.names(name, value);
    return value;
  }

  count(
    group: Readonly<Record<string, unknown>>,
    path: string,
    least: number,
    most: number,
    fallback: number,
  ): number {
    const value = group[path.slice(path.indexOf('.') + 1)];
    if (value === undefined) return fallback;
    if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return value;
    this.mistake(path, `must be a whole number from ${least} to ${most}, not ${show(value)}`);
    return fallback;
  }

  endpoint(value: unknown): string {
    if (typeof value === 'string' && /^\S+$/.test(value)) {
      if (!/^https?:\/\//i.test(value)) return value;
      this.mistake('endpoint', `must be host:port or a target of gRPC, not the URL ${show(value)}`);
    } else {
      this.mistake('endpoint', `must be host:port or a target of gRPC, not ${show(value)}`);
    }
    return '';
  }

  clusterId(value: unknown): string | undefined {
    const lower = typeof value === 'string' ? value.toLowerCase() : undefined;
    if (lower !== '' && (lower === undefined || !UUID.test(lower))) {
      this.mistake('clusterId', `must be a UUID, or empty to disable submission, not ${show(value)}`);
    }
    return lower === '' ? undefined : lower;
  }

  credentials(value: unknown): ChannelCredentials {
    if (value === undefined) return ChannelCredentials.createInsecure();
    if (value instanceof ChannelCredentials) return value;
    this.mistake(
      'credentials',
      'must be ChannelCredentials of the @grpc/grpc-js that quartermaster uses; npm ls shows whether there are two',
    );
    return ChannelCredentials.createInsecure();
  }

  keys(value: unknown, clusterId: string | undefined): readonly string[] {
    if (!Array.isArray(value) || value.length === 0 || !value.every((key) => typeof key === 'string')) {
      this.mistake('verification.keys', 'must be a list of vkeys, at least one');
      return [];
    }
    const keys = value.map((key: string) => key.trim());
    const names = keys.map((key) => {
      try {
        return parseVkey(key).name;
      } catch (error) {
        if (!(error instanceof NoteError)) throw error;
        this.mistake('verification.keys', `has ${show(key)}, which is no vkey: ${error.message}`);
        return undefined;
      }
    });
    const ofCluster = names.some((name) => name === undefined || name.endsWith(`/${clusterId}`));
    if (clusterId !== undefined && !ofCluster) {
      this.mistake(
        'verification.keys',
        `has none of cluster ${clusterId}: the name of its key ends in that id`,
      );
    }
    return keys;
  }

  oneOf(
    given: Readonly<Record<string, unknown>>,
    name: string,
    choices: readonly string[],
  ): string | undefined {
    const value = given[name];
    if (value === undefined || (typeof value === 'string' && choices.includes(value))) return value;
    this.mistake(name, `must be ${choices.map(show).join(' or ')}, not ${show(value)}`);
    return undefined;
  }

  callback<F>(given: Readonly<Record<string, unknown>>, name: string): F | undefined {
    const value = given[name];
    if (value === undefined || typeof value === 'function') return value as F | undefined;
    this.mistake(name, `must be a function, not ${show(value)}`);
    return undefined;
  }

  /** @param methods some of those that it must have */
  object(
    given: Readonly<Record<string, unknown>>,
    name: string,
    methods: readonly string[],
  ): object | undefined {
    const value = given[name];
    if (value === undefined) return undefined;
    const missing = methods.filter((method) => !isObject(value) || typeof value[method] !== 'function');
    if (missing.length === 0) return value as object;
    this.mistake(name, `lacks ${missing.join(', ')}`);
    return undefined;
  }
}

/** A revision that cannot be sent would be sealed for good, with its leaves: it is judged before. */
function checkedRevision(etcdRevision: () => unknown): () => bigint {
  return () => {
    const revision = etcdRevision();
    if (typeof revision === 'bigint' && revision >= 0n && revision < 2n ** 63n) return revision;
    throw new GatewayError(
      'BAD_OPTIONS',
      `etcdRevision must give a bigint from 0 to 2^63-1, not the ${typeof revision} ${show(revision)}`,
    );
  };
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function show(value: unknown): string {
  return typeof value === 'string' ? JSON.stringify(value.slice(0, 120)) : String(value);
}
