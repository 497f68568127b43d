// A gateway's process, as far as its journal is concerned: takes leaves, seals some, says so, and goes on until it is killed.

import { journalOutbox } from '../../../src/gateway/journal/journal-outbox.ts';

const directory = process.argv[2] ?? '';
const outbox = journalOutbox({ directory });
let requests = 0;
await outbox.open({
  clusterId: '0190a1b2-0000-7000-8000-000000000001',
  now: () => 1_700_000_000_000,
  newRequestId: () => `0190a1b2-0000-7000-9000-${String(++requests).padStart(12, '0')}`,
  etcdRevision: () => 7n,
  log: { info() {}, warn() {}, error() {} },
  reached: undefined,
});
for (let n = 0; n < 5; n++) await outbox.append(new Uint8Array(32).fill(n), `event ${n}`);
const batch = await outbox.take(2, true);
console.log(JSON.stringify({ requestId: batch?.requestId }));
// Leaves without end, so that the kill comes in the middle of a write; each number is said once its leaf is promised.
for (let n = 5; ; n++) {
  await outbox.append(new Uint8Array(32).fill(n % 256), `event ${n}`);
  console.log(JSON.stringify({ promised: n }));
}
