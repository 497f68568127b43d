// What `serve` needs, judged as far as it can be without the database: a mistake in the seed or in TLS should be said before
// anything is reached, and together with all others.

import { createPrivateKey, X509Certificate } from 'node:crypto';
import { checkListenAddress } from '../../server/listen-address.ts';
import { Mistakes, nameOf, type Reading, readSettings, requireGiven, type Sources } from './read-settings.ts';
import { judgeFile, judgeSeed, type ReadFile } from './seed.ts';
import { type Configuration, SETTINGS, SETTINGS_OF } from './settings.ts';
import { formatAddress } from './values.ts';

type ServeSetting = (typeof SETTINGS_OF.serve)[number];

export interface TlsIdentity {
  /** PEM */
  readonly certificateChain: Uint8Array;
  /** PEM */
  readonly privateKey: Uint8Array;
}

export type ServeConfiguration = Omit<
  Configuration<ServeSetting>,
  'seed' | 'seedFile' | 'tlsCertFile' | 'tlsKeyFile' | 'originPrefix' | 'databaseUrl'
> & {
  /** 32 bytes */
  readonly masterSeed: Uint8Array;
  readonly originPrefix: string;
  readonly databaseUrl: string;
  /** undefined: plain text */
  readonly tls: TlsIdentity | undefined;
};

/** @throws {CliError} CONFIGURATION with every mistake */
export function loadServeConfiguration(sources: Sources, readFile: ReadFile): ServeConfiguration {
  const mistakes = new Mistakes();
  const settings = readSettings(SETTINGS_OF.serve, sources, mistakes);
  const masterSeed = judgeSeed(settings, sources, readFile, mistakes);
  requireGiven(
    'originPrefix',
    sources,
    mistakes,
    ': a name that you own, such as log.example.org/quartermaster',
  );
  requireGiven('databaseUrl', sources, mistakes);
  const tls = judgeTls(settings, readFile, mistakes);
  judgeListen(settings, mistakes);
  judgeLimits(settings, mistakes);

  const { originPrefix, databaseUrl } = settings;
  if (
    mistakes.lines.length > 0 ||
    masterSeed === undefined ||
    originPrefix === undefined ||
    databaseUrl === undefined
  ) {
    throw mistakes.toError();
  }
  const { seed: _seed, seedFile: _seedFile, tlsCertFile: _cert, tlsKeyFile: _key, ...rest } = settings;
  // Without mistakes every setting that has a default is there.
  const complete = rest as Configuration<keyof typeof rest>;
  return { ...complete, originPrefix, databaseUrl, masterSeed, tls };
}

function judgeTls(
  settings: Reading<'tlsCertFile' | 'tlsKeyFile'>,
  readFile: ReadFile,
  mistakes: Mistakes,
): TlsIdentity | undefined {
  const { tlsCertFile, tlsKeyFile } = settings;
  if (tlsCertFile === undefined && tlsKeyFile === undefined) return undefined;
  if (tlsCertFile === undefined || tlsKeyFile === undefined) {
    mistakes.add(`${nameOf('tlsCertFile')} and ${nameOf('tlsKeyFile')} belong together: one is missing`);
    return undefined;
  }
  const certificateChain = judgeFile('tlsCertFile', tlsCertFile, readFile, mistakes);
  const privateKey = judgeFile('tlsKeyFile', tlsKeyFile, readFile, mistakes);
  if (certificateChain === undefined || privateKey === undefined) return undefined;
  try {
    if (!new X509Certificate(certificateChain).checkPrivateKey(createPrivateKey(Buffer.from(privateKey)))) {
      mistakes.add(`${nameOf('tlsKeyFile')} is not the key of the certificate in ${nameOf('tlsCertFile')}`);
    }
  } catch {
    // The parser's own message could quote the file.
    mistakes.add(
      `${nameOf('tlsCertFile')} and ${nameOf('tlsKeyFile')}: not a certificate and its private key in PEM`,
    );
  }
  return { certificateChain, privateKey };
}

function judgeListen(
  settings: Reading<'listen' | 'insecureListen' | 'tlsCertFile' | 'tlsKeyFile'>,
  mistakes: Mistakes,
): void {
  const { listen, insecureListen, tlsCertFile, tlsKeyFile } = settings;
  if (listen === undefined) return;
  const address = checkListenAddress(formatAddress(listen), {
    // Where only one of the two is given, that is the mistake to tell, not this one.
    tls: tlsCertFile !== undefined || tlsKeyFile !== undefined,
    allowInsecure: insecureListen === true,
  });
  if (address.ok) return;
  const names = (['tlsCertFile', 'tlsKeyFile', 'insecureListen'] as const).map((name) => SETTINGS[name].flag);
  mistakes.add(`${nameOf('listen')}: ${address.explanation} (${names.join(', ')})`);
}

/** As single `leaves`, each has a tag and a length byte before its 32. */
const BYTES_PER_LEAF = 34;
/** The other fields, a known_checkpoint of 4 KiB among them. */
const OTHER_FIELDS_BYTES = 8_192;

function judgeLimits(
  settings: Reading<'maxLeafCount' | 'maxMessageBytes' | 'memoryBudgetBytes'>,
  mistakes: Mistakes,
): void {
  const { maxLeafCount, maxMessageBytes } = settings;
  if (maxMessageBytes === undefined) return;
  const needed = (maxLeafCount ?? 0) * BYTES_PER_LEAF + OTHER_FIELDS_BYTES;
  if (maxMessageBytes < needed) {
    mistakes.add(
      `${nameOf('maxMessageBytes')}: ${maxMessageBytes} bytes do not hold ${maxLeafCount} leaves ` +
        `(${nameOf('maxLeafCount')}), which take ${needed}`,
    );
  }
  judgeMemoryBudget(settings, mistakes);
}

export function judgeMemoryBudget(
  { maxMessageBytes, memoryBudgetBytes }: Reading<'maxMessageBytes' | 'memoryBudgetBytes'>,
  mistakes: Mistakes,
): void {
  if (maxMessageBytes === undefined || memoryBudgetBytes === undefined) return;
  if (memoryBudgetBytes >= maxMessageBytes) return;
  mistakes.add(
    `${nameOf('memoryBudgetBytes')}: ${memoryBudgetBytes} bytes are less than one message may have ` +
      `(${nameOf('maxMessageBytes')}: ${maxMessageBytes}), so that the largest would never be taken`,
  );
}
