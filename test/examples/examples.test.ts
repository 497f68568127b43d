// The examples as their READMEs have them: npm's own commands, processes of their own, a real notary, real Postgres.

import { mkdtempSync, rmSync } from 'node:fs';
import { chmod, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { ed25519Vkey, formatVkey, parseVkey, publicKeyEd25519 } from '../../src/note/index.ts';
import { withClient } from '../support/postgres-template.ts';
import { eventually } from '../support/postgres-waits.ts';
import { CHECKOUT, type Ended, Running, run } from './user-commands.ts';

const GATEWAY = 'examples/gateway';
const VERIFY = 'examples/verify';
const directory = mkdtempSync(join(tmpdir(), 'quartermaster-examples-'));

/** As GET /audit-events/:id gives it. */
interface AuditRow {
  readonly event_id: string;
  readonly notarized: boolean;
  readonly anchor_id: string | null;
  readonly leaf_index: number | null;
}

let notary: Running;
let gateway: Running;
let notaryAddress: string;
/** `http://127.0.0.1:port` of the gateway */
let base: string;
/** what the gateway's start has written down for auditors */
let settings: Record<string, string>;

async function startNotary(listen: string): Promise<void> {
  const argv = ['bin/quartermaster.js', 'dev', '--data-dir', join(directory, 'notary'), '--listen', listen];
  notary = new Running([process.execPath, ...argv], { directory: '.' });
  [notaryAddress = ''] = await notary.printed(/listens on (\S+), cluster demo/);
}

async function startGateway(): Promise<void> {
  const environment = {
    PORT: '0',
    DEV_DIRECTORY: join(directory, 'gateway'),
    NOTARY_ENDPOINT: notaryAddress,
  };
  gateway = new Running(['npm', 'start'], { directory: GATEWAY, environment });
  [base = ''] = await gateway.printed(/Server listening at (http:\/\/[\d.:]+)/);
  settings = parseEnv(await readFile(join(directory, 'gateway/env'), 'utf8')) as Record<string, string>;
}

beforeAll(async () => {
  // Postgres runs as another user when we are root.
  await chmod(directory, 0o711);
  // One after the other: each builds the package that it links.
  for (const example of [GATEWAY, VERIFY]) {
    expect(await run(['npm', 'ci'], { directory: example })).toMatchObject({ code: 0 });
  }
  await startNotary('127.0.0.1:0');
  await startGateway();
}, 300_000);

afterAll(async () => {
  await notary?.end('SIGTERM');
  // Where a test has failed half-way there is more left of them.
  await gateway?.destroy(join(directory, 'gateway/postgres'));
  await notary?.destroy(join(directory, 'notary/postgres'));
  rmSync(directory, { recursive: true, force: true });
});

/** One request, which must succeed. */
async function call(method: string, path: string, body?: object, session?: string) {
  const response = await fetch(`${base}${path}`, {
    method,
    headers: {
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(session === undefined ? {} : { 'x-session': session }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const answer = response.status === 204 ? {} : ((await response.json()) as object);
  if (!response.ok) throw new Error(`${response.status}: ${JSON.stringify(answer)}`);
  const eventId = response.headers.get('x-audit-event') ?? '';
  return { ...answer, eventId } as Readonly<Record<string, string>> & { readonly eventId: string };
}

const openSession = async (actor: string) => (await call('POST', '/sessions', { actor })).token ?? '';

async function rowOf(eventId: string): Promise<AuditRow> {
  return (await (await fetch(`${base}/audit-events/${eventId}`)).json()) as AuditRow;
}

async function anchored(eventId: string): Promise<AuditRow> {
  return await eventually(async () => {
    const row = await rowOf(eventId);
    return row.anchor_id === null ? undefined : row;
  }, 40_000);
}

function verify(argv: readonly string[], environment = settings, input = ''): Promise<Ended> {
  return run(['npm', '--silent', 'start', '--', ...argv], { directory: VERIFY, environment }, input);
}

// What is started above and below, by its parts, is what strangers are told to type.
test('their READMEs begin with the commands that run here', async () => {
  expect(await firstCommands(GATEWAY)).toEqual([
    'npm ci && npm start',
    `cd ${GATEWAY} && npm ci && npm start`,
  ]);
  expect(await firstCommands(VERIFY)).toEqual([`cd ${VERIFY} && npm ci`, 'npm start -- EVENT_ID']);
});

test('both type-check against the declarations that the package publishes', async () => {
  for (const example of [GATEWAY, VERIFY]) {
    expect(await run(['npm', 'run', '--silent', 'typecheck'], { directory: example })).toMatchObject({
      code: 0,
    });
  }
});

describe('the gateway', () => {
  // Red when the drainer is given no `events`, and when shouldNotarize is told no fidelity.
  test('anchors mutations and sessions, and reads only of what asks for it', async () => {
    const session = await openSession('ada');
    const plain = await call('POST', '/approvals', { title: 'Deploy 7' }, session);
    const delicate = await call(
      'POST',
      '/approvals',
      { title: 'Read the payroll', fidelity: 'always_notarize' },
      session,
    );
    const silent = await call('POST', '/approvals', { title: 'Lunch', fidelity: 'log_only' }, session);
    const readPlain = await call('GET', `/approvals/${plain.approval_id}`, undefined, session);
    const readDelicate = await call('GET', `/approvals/${delicate.approval_id}`, undefined, session);
    const decision = { state: 'approved' };
    const decided = await call('PUT', `/approvals/${plain.approval_id}/decision`, decision, session);
    expect(decided).toMatchObject({ title: 'Deploy 7', state: 'approved', decided_by: 'ada' });
    const closed = await call('DELETE', '/sessions/current', undefined, session);

    const places = new Set<string>();
    for (const { eventId } of [plain, delicate, readDelicate, decided, closed]) {
      const row = await anchored(eventId);
      expect(row).toMatchObject({ event_id: eventId, notarized: true, leaf_index: expect.any(Number) });
      places.add(`${row.anchor_id} ${row.leaf_index}`);
    }
    expect(places.size).toBe(5);
    for (const { eventId } of [silent, readPlain]) {
      expect(await rowOf(eventId)).toMatchObject({ event_id: eventId, notarized: false, anchor_id: null });
    }
  });

  test('refuses what is malformed, and who has no session, and leaves no trace of either', async () => {
    const session = await openSession('ada');
    const before = await countOf('audit_events');
    await expect(call('POST', '/sessions', { actor: 'a\u0000b' })).rejects.toThrow(/400.*body\/actor/);
    await expect(call('POST', '/sessions', { actor: '\ud800' })).rejects.toThrow(/400.*body\/actor/);
    await expect(call('POST', '/approvals', {}, session)).rejects.toThrow(/400.*title/);
    await expect(call('GET', '/approvals/7', undefined, session)).rejects.toThrow(/400.*uuid/);
    await expect(call('POST', '/approvals', { title: 'Deploy' })).rejects.toThrow(/401/);
    const nothing = crypto.randomUUID();
    await expect(call('POST', '/approvals', { title: 'Deploy' }, nothing)).rejects.toThrow(/401/);
    await expect(call('GET', `/approvals/${nothing}`, undefined, session)).rejects.toThrow(/404/);
    await expect(call('GET', `/audit-events/${nothing}`)).rejects.toThrow(/404/);
    await call('DELETE', '/sessions/current', undefined, session);
    await expect(call('POST', '/approvals', { title: 'Deploy' }, session)).rejects.toThrow(/401/);
    expect(await countOf('audit_events')).toBe(before + 1);
  });

  test('has metrics for Prometheus, and a health check that says where the notary is', async () => {
    const metrics = await fetch(`${base}/metrics`);
    expect(metrics.headers.get('content-type')).toMatch(/^text\/plain/);
    expect(await metrics.text()).toMatch(/^# TYPE \w+ (gauge|counter)$/m);
    expect(await call('GET', '/healthz')).toMatchObject({ status: 'ok', notary: 'takes batches' });
  });
});

describe('the auditor', () => {
  let eventId: string;
  beforeAll(async () => {
    const session = await openSession('grace');
    await call('POST', '/approvals', { title: 'Before' }, session);
    ({ eventId } = await call('POST', '/approvals', { title: 'Deploy 8' }, session));
    await anchored(eventId);
  });
  const proofFile = () => join(CHECKOUT, VERIFY, `${eventId}.tlog-proof`);
  afterAll(() => rmSync(proofFile(), { force: true }));

  // Red when the row's anchor is not compared with the receipt's.
  test('verifies a row of the database, and then offline a row as JSON with the receipt that was kept', async () => {
    expect(await verify([eventId])).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^VERIFIED: .*grace/),
    });
    expect(await readFile(proofFile(), 'utf8')).toMatch(/^c2sp.org\/tlog-proof@v1\n/);
    // Neither a database nor a notary.
    const offline = { NOTARY_KEYS: settings.NOTARY_KEYS ?? '', NOTARY_ENDPOINT: '127.0.0.1:1' };
    const row = JSON.stringify(await rowOf(eventId));
    expect(await verify(['--row', '-', '--receipt', proofFile()], offline, row)).toMatchObject({ code: 0 });
    for (const [changed, code] of [
      [row.replace('grace', 'grbce'), 'LEAF_PATH'],
      [row.replace(/"leaf_index":\d+/, '"leaf_index":77'), 'LEAF_INDEX_MISMATCH'],
    ] as const) {
      const refused = await verify(['--row', '-', '--receipt', proofFile()], offline, changed);
      expect(refused).toMatchObject({ code: 1, out: expect.stringContaining(`NOT VERIFIED (${code})`) });
    }
  });

  // Red when a field is left out of what the two of them hash.
  test.each([
    ['actor', `overlay(actor placing 'G' from 1 for 1)`],
    ['action', `overlay(action placing 'A' from 1 for 1)`],
    ['subject', `overlay(subject placing 'x' from 36 for 1)`],
    ['occurred_at', `occurred_at + interval '1 millisecond'`],
    ['salt', 'set_byte(salt, 15, get_byte(salt, 15) # 1)'],
    ['leaf_index', 'leaf_index # 1'],
    ['anchor_id', 'NULL'],
  ])(
    'refuses a row whose %s was changed in the database, by as little as can be',
    async (column, changed) => {
      const { rows } = await sql(`SELECT ${column} AS value FROM audit_events WHERE event_id = $1`, [
        eventId,
      ]);
      await sql(`UPDATE audit_events SET ${column} = ${changed} WHERE event_id = $1`, [eventId]);
      expect(await verify([eventId])).toMatchObject({
        code: 1,
        out: expect.stringMatching(/^NOT VERIFIED/),
      });
      await sql(`UPDATE audit_events SET ${column} = $2 WHERE event_id = $1`, [eventId, rows[0].value]);
      expect(await verify([eventId])).toMatchObject({ code: 0 });
    },
  );

  test('verifies it again once everything is as it was', async () => {
    expect(await verify([eventId])).toMatchObject({ code: 0 });
  });

  test('accepts the pinned key alone, and says what is missing', async () => {
    const { name } = parseVkey(settings.NOTARY_KEYS ?? '');
    const other = formatVkey(ed25519Vkey(name, publicKeyEd25519(new Uint8Array(32).fill(7))));
    const forged = await verify([eventId], { ...settings, NOTARY_KEYS: other });
    expect(forged).toMatchObject({ code: 1, out: expect.stringMatching(/^NOT VERIFIED \(UNKNOWN_KEY\)/) });
    const unknown = await verify(['11111111-1111-4111-8111-111111111111']);
    expect(unknown).toMatchObject({ code: 1, out: expect.stringMatching(/has no event/) });
    const unpinned = await verify([eventId], { ...settings, NOTARY_KEYS: '' });
    expect(unpinned).toMatchObject({ code: 2, err: expect.stringMatching(/^Usage/m) });
  });
});

describe('without the notary', () => {
  // Red when a route awaits the anchor, when the leaf is queued outside the transaction, and when SIGTERM is not heeded.
  test('the service goes on, ends in order, starts again, and anchors everything once the notary is back', async () => {
    const session = await openSession('ada');
    await notary.end('SIGKILL');
    const unanchored: string[] = [];
    const act = async () => {
      const { eventId } = await call('POST', '/approvals', { title: `No ${unanchored.length}` }, session);
      unanchored.push(eventId);
    };
    for (let count = 0; count < 20; count++) await act();
    const health = await eventually(async () => {
      await act();
      const answer = await call('GET', '/healthz');
      return answer.notary === 'away' ? answer : undefined;
    });
    expect(health).toMatchObject({ status: 'ok' });
    // Each row carries the id of the transaction that wrote it.
    const waiting = await sql(
      `SELECT count(*)::int AS all, count(*) FILTER (WHERE event.xmin::text = leaf.xmin::text
           AND event.xmin::text = approval.xmin::text)::int AS together
       FROM quartermaster_outbox.outbox_leaves AS leaf
         JOIN audit_events AS event ON event.event_id::text = leaf.event_id
         JOIN approvals AS approval ON approval.approval_id::text = event.subject`,
    );
    expect(waiting.rows[0].all).toBeGreaterThan(0);
    expect(waiting.rows[0].together).toBe(waiting.rows[0].all);

    expect(await gateway.end('SIGTERM')).toBe(0);
    await startGateway();
    await act();
    for (const eventId of unanchored) expect(await rowOf(eventId)).toMatchObject({ anchor_id: null });

    await startNotary(notaryAddress);
    for (const eventId of unanchored) await anchored(eventId);
    const { rows } = await sql(
      `SELECT count(*) FILTER (WHERE notarize AND anchor_id IS NULL)::int AS missing,
         count(anchor_id)::int - count(DISTINCT anchor_id::text || leaf_index)::int AS doubled FROM audit_events`,
    );
    expect(rows).toEqual([{ missing: 0, doubled: 0 }]);
    expect(await verify([unanchored.at(-1) ?? ''])).toMatchObject({ code: 0 });
    rmSync(join(CHECKOUT, VERIFY, `${unanchored.at(-1)}.tlog-proof`), { force: true });
  });

  test('SIGTERM ends the service with exit code 0, and with it its Postgres', async () => {
    expect(await gateway.end('SIGTERM')).toBe(0);
    await expect(countOf('audit_events')).rejects.toThrow(/ECONNREFUSED/);
  });
});

async function firstCommands(example: string): Promise<string[]> {
  const readme = await readFile(join(CHECKOUT, example, 'README.md'), 'utf8');
  const [, block = ''] = /```sh\n(.*?)```/s.exec(readme) ?? [];
  return block
    .trim()
    .split('\n')
    .map((line) => line.replace(/ +#.*/, ''));
}

async function sql(text: string, values: unknown[] = []) {
  return await withClient(settings.DATABASE_URL ?? '', (client) => client.query(text, values));
}

async function countOf(table: string): Promise<number> {
  return (await sql(`SELECT count(*)::int AS count FROM ${table}`)).rows[0].count;
}
