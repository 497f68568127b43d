// `quartermaster serve`, the same parts put together the same way, but for the signing port: every text is written down, by a
// write that the process cannot be killed in the middle of, before its signature exists. And its clock is wrong.

import { openSync, readFileSync } from 'node:fs';
import { loadServeConfiguration } from '../../src/cli/config/serve-configuration.ts';
import { createLogger, writingOnceATurn } from '../../src/cli/serving/logger.ts';
import { untilSignal } from '../../src/cli/serving/signals.ts';
import { startServing } from '../../src/cli/serving/start-serving.ts';
import { createSeedSigning } from '../../src/notary/seed-signing.ts';
import type { Signing } from '../../src/notary/signing.ts';
import { CLOCK_SKEW_MS, SIGNATURES_FILE } from './server-environment.ts';
import { writeSignature } from './signature-log.ts';

// Replicas' clocks differ.
const now = Date.now;
const skewMs = Number(process.env[CLOCK_SKEW_MS] ?? 0);
Date.now = () => now() + skewMs;

const configuration = loadServeConfiguration({ flags: {}, environment: process.env }, readFileSync);
const logger = createLogger(
  configuration.logLevel,
  writingOnceATurn((lines) => process.stdout.write(lines)),
);
const signalled = untilSignal();
const file = openSync(process.env[SIGNATURES_FILE] ?? '', 'a');
const serving = await Promise.race([
  startServing(configuration, logger, recorded(createSeedSigning(configuration.masterSeed))),
  signalled,
]);
if (typeof serving !== 'string') {
  logger.info({ address: serving.address }, 'serving');
  logger.info({ signal: await signalled }, 'shutting down');
  await serving.stop();
  logger.info({}, 'stopped');
}
// As src/cli/main.ts does: what was left open must not keep the process.
setTimeout(() => process.exit(), 2_000).unref();

function recorded(signing: Signing): Signing {
  return {
    seedId: signing.seedId,
    headMac: (origin, epoch) => signing.headMac(origin, epoch),
    async logKey(origin, epoch) {
      const signer = await signing.logKey(origin, epoch);
      return {
        key: signer.key,
        sign(noteText) {
          writeSignature(file, noteText);
          return signer.sign(noteText);
        },
      };
    },
  };
}
