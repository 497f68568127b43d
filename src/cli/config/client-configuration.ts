// What commands that talk to a notary need, judged before anything is sent.

import { X509Certificate } from 'node:crypto';
import { Mistakes, nameOf, readSettings, type Sources } from './read-settings.ts';
import { judgeFile, type ReadFile } from './seed.ts';
import { SETTINGS_OF } from './settings.ts';
import type { Address } from './values.ts';

export interface ClientConfiguration {
  readonly endpoint: Address;
  /** PEM; undefined: plain text */
  readonly trustedCertificates: Uint8Array | undefined;
}

/** @throws {CliError} CONFIGURATION with every mistake */
export function loadClientConfiguration(sources: Sources, readFile: ReadFile): ClientConfiguration {
  const mistakes = new Mistakes();
  const { endpoint, caFile } = readSettings(SETTINGS_OF.client, sources, mistakes);
  const trustedCertificates = judgeTrustedCertificates(caFile, readFile, mistakes);
  if (endpoint === undefined || mistakes.lines.length > 0) throw mistakes.toError();
  return { endpoint, trustedCertificates };
}

export function judgeTrustedCertificates(
  caFile: string | undefined,
  readFile: ReadFile,
  mistakes: Mistakes,
): Uint8Array | undefined {
  if (caFile === undefined) return undefined;
  const trustedCertificates = judgeFile('caFile', caFile, readFile, mistakes);
  // OpenSSL takes a file without certificates for one that trusts nobody, and says so at the first call only.
  if (trustedCertificates !== undefined && !holdsCertificate(trustedCertificates)) {
    mistakes.add(`${nameOf('caFile')}: ${JSON.stringify(caFile)} holds no certificate in PEM`);
  }
  return trustedCertificates;
}

function holdsCertificate(pem: Uint8Array): boolean {
  try {
    new X509Certificate(pem);
    return true;
  } catch {
    return false;
  }
}
