/** Names the file that a server under test writes down what it signs in. */
export const SIGNATURES_FILE = 'QM_CHAOS_SIGNATURES';
/** How much its clock is ahead. */
export const CLOCK_SKEW_MS = 'QM_CHAOS_CLOCK_SKEW_MS';
