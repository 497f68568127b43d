import { ED25519, NoteError, parseVkey } from '../note/index.ts';
import { CliError } from './error.ts';

/** What a notary names as the keys of a cluster's log, when it names at least one and nothing else. @throws {CliError} REFUSED */
export function checkNamedKeys(vkeys: readonly string[], clusterId: string): readonly string[] {
  const wrong = vkeys.find((vkey) => !isKeyOf(vkey, clusterId));
  if (wrong !== undefined || vkeys.length === 0) {
    const named = wrong === undefined ? 'no key' : JSON.stringify(wrong.slice(0, 300));
    throw new CliError(
      'REFUSED',
      `asked for the log keys of cluster ${clusterId} the notary named ${named}, which is none`,
    );
  }
  return vkeys;
}

/**
 * Keys that were given for a cluster's log: one at least must be named as its origin, which ends in its id. With none nothing
 * could ever be verified, and that is better known before something is sent.
 *
 * @throws {CliError} USAGE
 */
export function checkGivenKeys(vkeys: readonly string[], clusterId: string): readonly string[] {
  if (vkeys.length > 0 && !vkeys.some((vkey) => isKeyOf(vkey, clusterId))) {
    throw new CliError(
      'USAGE',
      `--key: no key of cluster ${clusterId}, whose keys are named .../${clusterId}`,
    );
  }
  return vkeys;
}

function isKeyOf(vkey: string, clusterId: string): boolean {
  try {
    const { name, type } = parseVkey(vkey);
    return type === ED25519 && name.endsWith(`/${clusterId}`);
  } catch (error) {
    if (error instanceof NoteError) return false;
    throw error;
  }
}
