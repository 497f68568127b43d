// What comes back. Nothing here runs: `npm run typecheck` is the test.

import {
  type Alarm,
  type AnchoredBatch,
  type AnchoredLeaf,
  commitEvent,
  type DeadLetter,
  type Gateway,
  GatewayError,
  type GatewayStats,
  hashEvent,
  type LeafHandle,
  type Leftover,
  shouldNotarize,
  type UnanchoredLeaf,
} from '../../../src/gateway/index.ts';
import type { Receipt } from '../../../src/verify/index.ts';
import { exactly, given } from './exactly.ts';

declare const gateway: Gateway;
declare const leaf: Uint8Array;
interface AuditEvent {
  readonly type: string;
  readonly user?: string;
}
declare const event: AuditEvent;

// submit takes bytes, bytes with an id, and what commitEvent gives. Red when one of them is no longer taken.
const handle = await gateway.submit(leaf);
exactly<LeafHandle>()(handle);
await gateway.submit({ leaf });
await gateway.submit({ leaf, eventId: undefined });
await gateway.submit({ eventId: 'id', ...commitEvent(event) });
await gateway.submit(hashEvent(event));
// @ts-expect-error an event is no leaf: it would be sent, and the notary is to see digests only
await gateway.submit(event);
// @ts-expect-error hex is no leaf
await gateway.submit('00'.repeat(32));
// @ts-expect-error an id is text
await gateway.submit({ leaf, eventId: 7 });

// Red when the handle says less, or something else.
exactly<string | undefined>()(handle.eventId);
const anchored = await handle.anchored;
exactly<AnchoredLeaf>()(anchored);
exactly<{
  anchorId: string;
  leafIndex: number;
  verified: boolean;
  receipt: Receipt;
  eventId: string | undefined;
}>()({
  anchorId: anchored.anchorId,
  leafIndex: anchored.leafIndex,
  verified: anchored.verified,
  receipt: anchored.receipt,
  eventId: anchored.eventId,
});
exactly<string>()(anchored.toTlogProof());
// @ts-expect-error what is anchored stays as it is
anchored.leafIndex = 1;

const commitment = commitEvent(event);
exactly<string>()(commitment.canonical);
given<{ readonly leaf: Uint8Array; readonly salt: Uint8Array }>(commitment);
// @ts-expect-error text has no members to commit to
commitEvent('text');

exactly<boolean>()(shouldNotarize('mutation', 'standard'));
// @ts-expect-error the lists are closed
shouldNotarize('write');
// @ts-expect-error the lists are closed
shouldNotarize('read', 'sometimes');

// Every event has a listener of its own shape. Red when the map loses one, or its arguments change.
gateway
  .on('anchored', (batch) => exactly<AnchoredBatch>()(batch))
  .on('deadLetter', (letter) => exactly<DeadLetter>()(letter))
  .on('alarm', (alarm) => exactly<Alarm>()(alarm))
  .on('away', (status, message) =>
    exactly<[string, string]>()([status, message] as [typeof status, typeof message]),
  )
  .on('back', (...nothing) => exactly<[]>()(nothing));
// @ts-expect-error there is no such event
gateway.on('error', () => {});
// @ts-expect-error back says nothing
gateway.on('back', (since: number) => since);

exactly<Leftover>()(await gateway.flush());
exactly<Leftover>()(await gateway.close({ timeoutMs: 1 }));
exactly<GatewayStats>()(await gateway.stats());
exactly<string>()(await gateway.prometheus());
exactly<number>()(await gateway.replay());
for await (const unanchored of gateway.reconcile()) exactly<UnanchoredLeaf>()(unanchored);
for await (const letter of gateway.deadLetters()) exactly<DeadLetter>()(letter);
await using _owned = gateway;

// Red when a code leaves the closed list, or the list is opened to any string.
declare const error: unknown;
if (error instanceof GatewayError) {
  switch (error.code) {
    case 'BAD_OPTIONS':
    case 'BAD_EVENT':
    case 'OUTBOX_FULL':
    case 'OUTBOX_IN_USE':
    case 'OUTBOX_FAILED':
    case 'DEAD_LETTER':
    case 'DISABLED':
    case 'CLOSED':
      break;
    default:
      exactly<never>()(error.code);
  }
}
