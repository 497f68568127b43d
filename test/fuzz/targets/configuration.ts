import { InvalidArgumentError } from 'commander';
import fc from 'fast-check';
import { loadClientConfiguration } from '../../../src/cli/config/client-configuration.ts';
import { parseConfiguration, type Sources } from '../../../src/cli/config/read-settings.ts';
import { loadServeConfiguration } from '../../../src/cli/config/serve-configuration.ts';
import { SETTINGS, SETTINGS_OF, type SettingName } from '../../../src/cli/config/settings.ts';
import { warnOfUnknownVariables } from '../../../src/cli/config/unknown-variables.ts';
import { formatAddress } from '../../../src/cli/config/values.ts';
import { CliError } from '../../../src/cli/error.ts';
import { collectVkeys, LINE_NUMBER, parseLeaf, parseUuid } from '../../../src/cli/options.ts';
import { checkOrigin } from '../../../src/note/index.ts';
import { resolveLimits } from '../../../src/server/limits.ts';
import { checkListenAddress } from '../../../src/server/listen-address.ts';
import { VKEYS } from '../honest-log.ts';
import { damagedText } from '../mutation.ts';
import { asText, must, parsed, type Target } from '../target.ts';

const NAMES = Object.keys(SETTINGS) as SettingName[];
/** What secrets are made of. */
const MARK = '5ecf5ecf';
const SECRET = MARK.repeat(8);

/** Values that are right, or nearly. */
const VALUES = [
  ...Object.values(SETTINGS).flatMap(({ fallback }) => (fallback === undefined ? [] : [fallback])),
  ...[
    'log.example.org/quartermaster',
    'postgres://u:p@127.0.0.1:5432/d',
    'postgres://u:%ff@h/d',
    `postgres://u:${MARK}@:h:/d`,
    `mysql://u:${MARK}@h/d`,
    `${SECRET}0`,
    '[::1]:1',
    ':0',
    'unix:/x',
  ],
  ...[
    '160MiB',
    '64GiB',
    '999999999h',
    '0s',
    'true',
    'seed',
    'missing',
    '/dev/null',
    '[::1%lo]:5',
    '0.0.0.0:1',
    'localhost:65535',
  ],
  ...[SECRET, Buffer.from(SECRET, 'hex').toString('base64')],
];
const value = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(...VALUES) },
  {
    weight: 2,
    arbitrary: damagedText(VALUES, ['postgres://', '%', '[', ']', ':', 'KiB', 'h', '0', '99999']),
  },
);
const setting = fc.tuple(fc.constantFrom(...NAMES), fc.boolean(), value);

const GOOD: Readonly<Record<string, string>> = {
  QUARTERMASTER_SEED: SECRET,
  QUARTERMASTER_ORIGIN_PREFIX: 'log.example.org/quartermaster',
  QUARTERMASTER_DATABASE_URL: 'postgres://u:p@127.0.0.1/d',
};

/** Flags and environment as JSON: a configuration that works, changed here and there. */
const sources = fc
  .tuple(
    fc.boolean(),
    fc.array(setting, { maxLength: 5 }),
    fc.array(fc.string({ maxLength: 30 }), { maxLength: 2 }),
  )
  .map(([good, settings, strange]) => {
    const flags: Record<string, string> = {};
    const environment: Record<string, string> = good ? { ...GOOD } : {};
    for (const [name, asFlag, text] of settings) {
      if (asFlag && SETTINGS[name].flag !== undefined) flags[name] = text;
      else environment[SETTINGS[name].env] = text;
    }
    for (const name of strange) environment[`QUARTERMASTER_${name}`] = 'x';
    return JSON.stringify({ flags, environment });
  });

/**
 * A configuration is refused with one CliError, which never shows a secret; what is accepted lies within the bounds that the
 * layers below demand, so that no server starts and fails then.
 *
 * Seen red: with a seed's value shown in its mistake; with `Number` for `integerBetween` (`1e3`, ` 5`).
 */
export const configuration: Target = {
  name: 'configuration',
  share: 10,
  open: () => ({
    inputs: fc.oneof(
      { weight: 4, arbitrary: sources },
      {
        weight: 1,
        arbitrary: damagedText(
          [...VKEYS, '0195c3a0-1c00-7000-8000-000000000000', 'ab'.repeat(32), '17'],
          ['0x', 'A'],
        ),
      },
    ),
    check(input) {
      const text = asText(input);
      const given = sourcesIn(text);
      return given === undefined ? checkOptions(text) : checkSources(given);
    },
    growth: [
      {
        name: 'a long variable name',
        from: 2_000,
        prepare: (n) => warning(`QUARTERMASTER_${'X'.repeat(n)}`),
      },
      {
        name: 'a variable name like those of Kubernetes',
        from: 16_000,
        prepare: (n) => warning(`QUARTERMASTER_${'PORT_'.repeat(n / 5)}\n`),
      },
      ...NAMES.flatMap((name) =>
        ['9', ':', '-', 'a', 'A+/', '%41', '[', 'postgres://h/'].map((piece) => ({
          name: `${name} of many "${piece}"`,
          from: 40_000,
          prepare: (n: number) => configured(name, piece.repeat(n / piece.length)),
        })),
      ),
    ],
  }),
};

function sourcesIn(text: string): Sources | undefined {
  try {
    const value: unknown = JSON.parse(text);
    const { flags, environment } = value as Partial<Sources>;
    const isSources = [flags, environment].every(
      (each) => each !== undefined && Object.values(each).every((text) => typeof text === 'string'),
    );
    return isSources ? (value as Sources) : undefined;
  } catch {
    return undefined;
  }
}

/** A small file system. */
function readFile(path: string): Uint8Array {
  if (path === 'seed') return Buffer.from(`${SECRET}\n`);
  if (path.length % 3 === 0) return Buffer.from(path);
  throw Object.assign(new Error('no such file'), { code: 'ENOENT' });
}

function checkSources(given: Sources): boolean {
  for (const line of warnOfUnknownVariables(given.environment))
    must(line.includes('is no setting'), 'a strange warning');
  const serve = told(given, () => loadServeConfiguration(given, readFile));
  if (serve !== undefined) {
    must(serve.masterSeed.length === 32, 'accepted a seed that is none');
    checkOrigin(`${serve.originPrefix}/0195c3a0-1c00-7000-8000-000000000000`);
    const { maxLeafCount, maxMessageBytes, memoryBudgetBytes } = serve;
    resolveLimits({
      maxLeafCount,
      maxMessageBytes,
      memoryBudgetBytes,
      maxConnectionAgeMs: serve.maxConnectionAgeMs,
    });
    const address = checkListenAddress(formatAddress(serve.listen), {
      tls: serve.tls !== undefined,
      allowInsecure: serve.insecureListen,
    });
    must(address.ok, 'accepted an address that is refused later');
    must(URL.canParse(serve.databaseUrl), 'accepted a database URL that is none');
  }
  const client = told(given, () => loadClientConfiguration(given, readFile));
  must(
    client === undefined || (client.endpoint.port >= 0 && client.endpoint.port <= 65_535),
    'accepted a port that is none',
  );
  const migrate = told(given, () => parseConfiguration(SETTINGS_OF.migrate, given, ['migrationDatabaseUrl']));
  must(
    migrate === undefined || /^[\w-]{1,63}$/.test(migrate.applicationRole),
    'accepted a role that is none',
  );
  return serve !== undefined;
}

/** Refused with every mistake at once, none of which repeats what is secret. */
function told<T>(given: Sources, load: () => T): T | undefined {
  try {
    return load();
  } catch (error) {
    if (!(error instanceof CliError) || error.code !== 'CONFIGURATION') throw error;
    // Mutations may have put it, or what JSON spells like it, into a setting that is none of the secret ones.
    const open = NAMES.filter((name) => !SETTINGS[name].secret);
    const isElsewhere = open.some((name) =>
      [given.flags[name], given.environment[SETTINGS[name].env]].some((text) =>
        JSON.stringify(text ?? '').includes(MARK),
      ),
    );
    must(isElsewhere || !error.message.includes(MARK), 'a mistake shows a secret');
    return undefined;
  }
}

function checkOptions(text: string): boolean {
  const uuid = parsed(() => parseUuid(text), InvalidArgumentError);
  const leaf = parsed(() => parseLeaf(text), InvalidArgumentError);
  const line = parsed(() => LINE_NUMBER(text), InvalidArgumentError);
  const keys = parsed(() => collectVkeys(text), InvalidArgumentError);
  must(uuid === undefined || uuid === text.toLowerCase(), 'another UUID');
  must(leaf === undefined || Buffer.from(leaf).toString('hex') === text.toLowerCase(), 'another leaf');
  must(line === undefined || (Number.isSafeInteger(line) && line >= 1), 'a line number that is none');
  return (uuid ?? leaf ?? line ?? keys) !== undefined;
}

function configured(name: SettingName, text: string): () => void {
  const given = { flags: {}, environment: { ...GOOD, [SETTINGS[name].env]: text } };
  return () => void told(given, () => loadServeConfiguration(given, readFile));
}

function warning(name: string): () => void {
  return () => void warnOfUnknownVariables({ [name]: '' });
}
