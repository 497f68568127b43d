const CANONICAL_DECIMAL = /^(?:0|[1-9][0-9]{0,15})$/;

/**
 * Reads an ASCII decimal without leading zeros, sign or white space, as c2sp.org/tlog-checkpoint and tlog-proof spell sizes
 * and indexes.
 *
 * @returns the number, or `undefined` when the text is anything else or above 2^53-1 (which a double cannot hold exactly).
 */
export function parseDecimal(text: string): number | undefined {
  if (!CANONICAL_DECIMAL.test(text)) return undefined;
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : undefined;
}

/** Whether a value is a size or an index: an integer from 0 to 2^53-1. */
export function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0 && !Object.is(value, -0);
}
