import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { describeConfiguration } from '../../src/cli/config/documentation.ts';
import { parseConfiguration, type Sources } from '../../src/cli/config/read-settings.ts';
import { loadServeConfiguration } from '../../src/cli/config/serve-configuration.ts';
import { SETTINGS, SETTINGS_OF, type SettingName } from '../../src/cli/config/settings.ts';
import { warnOfUnknownVariables } from '../../src/cli/config/unknown-variables.ts';

const SEED = '0123456789abcdef'.repeat(4);
const SECRET_URL = 'postgres://user:hunter2@db.example.org/notary';

const noFiles = (path: string): Uint8Array => {
  throw Object.assign(new Error(path), { code: 'ENOENT' });
};

/** What is needed, and nothing else. */
const LEAST = {
  QUARTERMASTER_SEED: SEED,
  QUARTERMASTER_ORIGIN_PREFIX: 'log.example.org/quartermaster',
  QUARTERMASTER_DATABASE_URL: SECRET_URL,
};

const load = (environment: Record<string, string>, flags: Sources['flags'] = {}, readFile = noFiles) =>
  loadServeConfiguration({ environment, flags }, readFile);

function mistakesOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    expect(error).toMatchObject({ name: 'CliError', code: 'CONFIGURATION' });
    return (error as Error).message;
  }
  throw new Error('no mistake was found');
}

describe('the configuration of serve', () => {
  test('has defaults for all but seed, origin prefix and database', () => {
    expect(load(LEAST)).toMatchObject({
      listen: { host: '127.0.0.1', port: 50_051 },
      originPrefix: 'log.example.org/quartermaster',
      databaseUrl: SECRET_URL,
      maxLeafCount: 1_048_576,
      maxMessageBytes: 40 * 1024 * 1024,
      memoryBudgetBytes: 256 * 1024 * 1024,
      shutdownGraceMs: 25_000,
      reflection: false,
      tls: undefined,
    });
    expect(Buffer.from(load(LEAST).masterSeed).toString('hex')).toBe(SEED);
  });

  test('takes flags over the environment, and an empty variable as not set', () => {
    const environment = { ...LEAST, QUARTERMASTER_LISTEN: '127.0.0.1:1', QUARTERMASTER_LOG_LEVEL: '' };
    expect(load(environment).listen.port).toBe(1);
    expect(load(environment, { listen: '[::1]:2' }).listen).toEqual({ host: '::1', port: 2 });
    expect(load(environment).logLevel).toBe('info');
  });

  test('reports every mistake at once, before anything is reached', () => {
    const message = mistakesOf(() =>
      load({
        QUARTERMASTER_LISTEN: 'here',
        QUARTERMASTER_REFLECTION: 'yes',
        QUARTERMASTER_MAX_LEAF_COUNT: '5000000',
        QUARTERMASTER_TLS_CERT_FILE: '/no/cert',
        QUARTERMASTER_SHUTDOWN_GRACE: '30',
        QUARTERMASTER_ORIGIN_PREFIX: 'https://log.example.org',
      }),
    );
    for (const name of [
      'LISTEN',
      'REFLECTION',
      'MAX_LEAF_COUNT',
      'TLS_CERT_FILE',
      'SHUTDOWN_GRACE',
      'ORIGIN_PREFIX',
      'SEED',
      'DATABASE_URL',
    ]) {
      expect(message).toContain(`QUARTERMASTER_${name}`);
    }
    expect(message.trim().split('\n')).toHaveLength(9);
  });

  // Seen red: with judgeSeed returning a seed of its own where none is given (invariant 7).
  test('refuses to go without a signing seed', () => {
    const { QUARTERMASTER_SEED: _, ...rest } = LEAST;
    expect(mistakesOf(() => load(rest))).toMatch(/no signing seed: set QUARTERMASTER_SEED/);
  });

  test('never repeats a secret, not even a wrong one', () => {
    const wrong = { QUARTERMASTER_SEED: `${SEED}00`, QUARTERMASTER_DATABASE_URL: 'mysql://root:hunter2@db' };
    const message = mistakesOf(() => load({ ...LEAST, ...wrong }));
    expect(message).toContain('QUARTERMASTER_SEED: expected 32 bytes');
    expect(message).not.toContain('hunter2');
    expect(message).not.toContain(SEED);
  });

  test('takes the seed as hex or base64, from the environment or a file, not from both', () => {
    const base64 = Buffer.from(SEED, 'hex').toString('base64');
    expect(load({ ...LEAST, QUARTERMASTER_SEED: base64 }).masterSeed).toEqual(load(LEAST).masterSeed);
    const { QUARTERMASTER_SEED: _, ...rest } = LEAST;
    const fromFile = load(rest, { seedFile: 'seed' }, () => Buffer.from(`${SEED}\n`));
    expect(fromFile.masterSeed).toEqual(load(LEAST).masterSeed);
    expect(mistakesOf(() => load(LEAST, { seedFile: 'seed' }))).toContain('not both');
    expect(mistakesOf(() => load(rest, { seedFile: 'gone' }))).toContain('"gone" cannot be read (ENOENT)');
    expect(mistakesOf(() => load(rest, { seedFile: 'seed' }, () => Buffer.from('abc')))).toContain(
      'expected 32 bytes',
    );
  });

  test('has no flag for a seed or a password', () => {
    const flagless = (Object.keys(SETTINGS) as SettingName[]).filter(
      (name) => SETTINGS[name].flag === undefined,
    );
    expect(flagless.sort()).toEqual(['applicationPassword', 'seed']);
  });

  test('refuses an address that others can reach without TLS, unless it is told to', () => {
    for (const listen of ['0.0.0.0:50051', ':50051', '192.0.2.1:1', '[::]:1', 'log.example.org:1']) {
      expect(mistakesOf(() => load(LEAST, { listen }))).toMatch(/without TLS/);
      expect(load(LEAST, { listen, insecureListen: 'true' }).insecureListen).toBe(true);
    }
  });

  test('refuses half of a TLS identity, and files that are none', () => {
    expect(mistakesOf(() => load(LEAST, { tlsKeyFile: 'key' }))).toContain('belong together');
    const both = { tlsCertFile: 'cert', tlsKeyFile: 'key' };
    const message = mistakesOf(() => load(LEAST, both, () => Buffer.from('PRIVATE-THINGS')));
    expect(message).toContain('not a certificate and its private key');
    expect(message).not.toContain('PRIVATE-THINGS');
  });

  test('refuses limits that contradict one another', () => {
    expect(mistakesOf(() => load(LEAST, { maxLeafCount: '4194304' }))).toMatch(/do not hold 4194304 leaves/);
    expect(load(LEAST, { maxLeafCount: '4194304', maxMessageBytes: '160MiB' }).maxLeafCount).toBe(4_194_304);
    expect(mistakesOf(() => load(LEAST, { memoryBudgetBytes: '39MiB' }))).toMatch(/less than one message/);
  });

  test('refuses an origin prefix that leaves no room for "/" and an id, or that cannot name a key', () => {
    expect(load(LEAST, { originPrefix: 'x'.repeat(218) }).originPrefix).toHaveLength(218);
    for (const originPrefix of ['x'.repeat(219), 'a b', 'a+b', '/a', 'a/', 'https://a', 'a\tb']) {
      expect(mistakesOf(() => load(LEAST, { originPrefix }))).toContain('--origin-prefix');
    }
  });
});

test('a command without further judgement reports all its mistakes too', () => {
  const flags = { endpoint: 'nowhere', caFile: '' };
  const message = mistakesOf(() => parseConfiguration(SETTINGS_OF.client, { flags, environment: {} }));
  expect(message).toContain('--endpoint');
  expect(message).toContain('--ca-file');
});

test('every fallback is a valid value', () => {
  for (const { parse, fallback } of Object.values(SETTINGS)) {
    if (fallback !== undefined) expect(() => parse(fallback)).not.toThrow();
  }
});

test('a misspelled variable is warned about, what Kubernetes sets for a Service is not', () => {
  const environment = {
    QUARTERMASTER_LISTN: 'x',
    QUARTERMASTER_SOMETHING_ELSE_ENTIRELY: 'x',
    QUARTERMASTER_LISTEN: 'x',
    QUARTERMASTER_SERVICE_HOST: 'x',
    QUARTERMASTER_PORT_50051_TCP_ADDR: 'x',
    PATH: 'x',
  };
  expect(warnOfUnknownVariables(environment)).toEqual([
    'QUARTERMASTER_LISTN is no setting and is ignored; did you mean QUARTERMASTER_LISTEN?',
    'QUARTERMASTER_SOMETHING_ELSE_ENTIRELY is no setting and is ignored',
  ]);
});

test('docs/configuration.md is what the table says', () => {
  const written = readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8');
  expect(written).toBe(describeConfiguration());
});
