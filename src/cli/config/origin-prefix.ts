import { checkOrigin, MAX_ORIGIN_BYTES, NoteError } from '../../note/index.ts';
import { ValueError } from './values.ts';

/** A `/` and a UUID follow the prefix in every origin. */
const LONGEST_PREFIX_BYTES = MAX_ORIGIN_BYTES - 37;

/**
 * A prefix of origins. Origins are schema-less URLs (c2sp.org/tlog-checkpoint) and names of keys (c2sp.org/signed-note), so
 * that what holds for those holds here.
 */
export function parseOriginPrefix(text: string): string {
  if (Buffer.byteLength(text) > LONGEST_PREFIX_BYTES) {
    throw new ValueError(
      `expected at most ${LONGEST_PREFIX_BYTES} bytes, since "/" and the cluster's id follow`,
    );
  }
  if (text.includes('://') || text.startsWith('/') || text.endsWith('/')) {
    throw new ValueError(
      'expected a name without scheme and without "/" at its ends, such as log.example.org/quartermaster',
    );
  }
  try {
    return checkOrigin(text);
  } catch (error) {
    if (error instanceof NoteError) throw new ValueError(error.message, { cause: error });
    throw error;
  }
}
