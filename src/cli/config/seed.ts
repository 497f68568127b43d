import { codeOf } from '../error.ts';
import { isGiven, type Mistakes, nameOf, type Reading, type Sources } from './read-settings.ts';
import { SETTINGS } from './settings.ts';
import { parseSeed, ValueError } from './values.ts';

/** Reads a whole small file; passed in, so that judging a configuration can be tested without files. */
export type ReadFile = (path: string) => Uint8Array;

/**
 * The master seed, from the environment or from a file, never from both. Without one nothing starts (there is no default, and
 * none is made up): a seed that changes with each start would sign a second history.
 */
export function judgeSeed(
  settings: Reading<'seed' | 'seedFile'>,
  sources: Sources,
  readFile: ReadFile,
  mistakes: Mistakes,
): Uint8Array | undefined {
  const { seed, seedFile } = settings;
  // Also one that is wrong, which has been told of.
  const isSeedGiven = isGiven('seed', sources);
  if (isSeedGiven && seedFile !== undefined) {
    mistakes.add(`${SETTINGS.seed.env} and ${nameOf('seedFile')}: give one of them, not both`);
    return undefined;
  }
  if (isSeedGiven) return seed;
  if (seedFile === undefined) {
    mistakes.add(
      `no signing seed: set ${SETTINGS.seed.env} or ${nameOf('seedFile')}; quartermaster key generate makes one`,
    );
    return undefined;
  }
  const bytes = judgeFile('seedFile', seedFile, readFile, mistakes);
  if (bytes === undefined) return undefined;
  try {
    return parseSeed(new TextDecoder().decode(bytes));
  } catch (error) {
    if (!(error instanceof ValueError)) throw error;
    mistakes.add(`${nameOf('seedFile')}: ${JSON.stringify(seedFile)}: ${error.message}`);
    return undefined;
  }
}

/** Reads a file that a setting names; one that cannot be read is a mistake like any other. */
export function judgeFile(
  name: 'seedFile' | 'tlsCertFile' | 'tlsKeyFile' | 'caFile',
  path: string,
  readFile: ReadFile,
  mistakes: Mistakes,
): Uint8Array | undefined {
  try {
    return readFile(path);
  } catch (error) {
    const reason = String(codeOf(error) ?? error);
    mistakes.add(`${nameOf(name)}: ${JSON.stringify(path)} cannot be read (${reason})`);
    return undefined;
  }
}
