import { SETTINGS } from './settings.ts';

// Kubernetes tells every pod about a Service named "quartermaster" in variables of these names. With the flag s nothing after
// a part can fail to match, so that a long name is not tried in as many ways as it has parts.
const OF_KUBERNETES = /^QUARTERMASTER_(.+_)?(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT(_.+)?)$/s;

/**
 * A warning for each variable that looks like a setting and is none: most likely misspelled. No error, so that an older
 * version still starts after a rollback that leaves a newer one's variables behind.
 */
export function warnOfUnknownVariables(environment: Readonly<Record<string, string | undefined>>): string[] {
  const known = new Set<string>(Object.values(SETTINGS).map(({ env }) => env));
  return Object.keys(environment)
    .filter((name) => name.startsWith('QUARTERMASTER_') && !known.has(name) && !OF_KUBERNETES.test(name))
    .sort()
    .map((name) => {
      const nearest = nearestOf(name, known);
      return `${name} is no setting and is ignored${nearest === undefined ? '' : `; did you mean ${nearest}?`}`;
    });
}

const FARTHEST = 3;

function nearestOf(name: string, known: Iterable<string>): string | undefined {
  let best: { name: string; distance: number } | undefined;
  for (const candidate of known) {
    const distance = editDistance(name, candidate);
    if (distance <= FARTHEST && distance < (best?.distance ?? Number.POSITIVE_INFINITY))
      best = { name: candidate, distance };
  }
  return best?.name;
}

/** Levenshtein's distance, by rows. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substituted = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(substituted, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
