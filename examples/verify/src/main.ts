// Is this event what it was when it was anchored? Asks the database for the row and the notary for the receipt, and believes
// neither: what counts is the digest of the row's own fields, the receipt's hashes, and the signature of a pinned key.

import { readFile, writeFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { parseArgs } from 'node:util';
import { fetchReceipt } from 'quartermaster/gateway';
import { formatTlogProof, leafOf, parseTlogProof, verifyReceipt } from 'quartermaster/verify';
import { type EventRow, parseRow, readRow } from './event-row.ts';

const USAGE = `Usage: npm start -- EVENT_ID            the row from DATABASE_URL
       npm start -- --row FILE          the row as JSON; "-" is standard input
       ... --receipt FILE               a receipt of earlier, instead of asking the notary
Environment: NOTARY_ENDPOINT (host:port), NOTARY_KEYS (pinned verifier keys), DATABASE_URL`;

const { values, positionals } = parseArgs({
  options: { row: { type: 'string' }, receipt: { type: 'string' } },
  allowPositionals: true,
});
const { DATABASE_URL = '', NOTARY_ENDPOINT = '127.0.0.1:50051', NOTARY_KEYS = '' } = process.env;
const [eventId] = positionals;

if (NOTARY_KEYS === '' || (values.row === undefined && (eventId === undefined || DATABASE_URL === ''))) {
  console.error(USAGE);
  process.exit(2);
}
try {
  await verify(
    values.row === undefined ? await readRow(DATABASE_URL, eventId ?? '') : await rowOf(values.row),
  );
} catch (error) {
  const { code = 'ERROR', message } = error as Error & { code?: string };
  console.log(`NOT VERIFIED (${code}): ${message}`);
  process.exitCode = 1;
}

async function verify({ event, salt, anchor }: EventRow): Promise<void> {
  if (anchor === undefined) throw new Error(`event ${event.event_id} has no anchor`);
  const file = values.receipt ?? `${event.event_id}.tlog-proof`;
  if (values.receipt === undefined) {
    await writeFile(file, formatTlogProof(await fetchReceipt({ endpoint: NOTARY_ENDPOINT, ...anchor })));
  }

  // From here on nobody is asked anything.
  const proof = parseTlogProof(await readFile(file, 'utf8'));
  const expected = { leaf: leafOf(event, salt), ...anchor };
  const verdict = verifyReceipt(proof, expected, { logKeys: NOTARY_KEYS.trim().split(/\s+/) });

  const at = new Date(verdict.createdAtMs).toISOString();
  console.log(`VERIFIED: ${JSON.stringify(event)}
  anchored ${at} as leaf ${verdict.leafIndex} of ${verdict.anchorId}
  in the log ${verdict.origin}, entry ${verdict.logIndex} of ${verdict.treeSize}
  proof ${file}`);
}

async function rowOf(file: string): Promise<EventRow> {
  return parseRow(JSON.parse(file === '-' ? await text(process.stdin) : await readFile(file, 'utf8')));
}
