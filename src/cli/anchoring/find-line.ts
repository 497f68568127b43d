import { CliError } from '../error.ts';
import type { LineEntry } from './manifest-entry.ts';
import { readGroups } from './manifest-file.ts';
import type { ManifestState } from './recover-manifest.ts';

export interface FoundLine {
  readonly state: ManifestState;
  readonly line: LineEntry;
}

/**
 * The anchor of a line. A last line that was anchored unfinished and then once more has two; the newest counts.
 *
 * @throws {CliError} REFUSED where the line is not anchored
 */
export async function findLine(manifestPath: string, line: number): Promise<FoundLine> {
  const groups = readGroups(manifestPath);
  let found: LineEntry | undefined;
  for (;;) {
    const next = await groups.next();
    if (next.done === true) {
      if (found === undefined) {
        const anchored = next.value.last?.last_line ?? 0;
        throw new CliError('REFUSED', `line ${line} is not anchored: ${manifestPath} has ${anchored} lines`);
      }
      return { state: next.value, line: found };
    }
    const { batch, lines } = next.value;
    found = lines[line - batch.first_line] ?? found;
  }
}
