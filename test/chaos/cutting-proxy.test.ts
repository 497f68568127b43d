import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import pg from 'pg';
import { APPEND } from '../../src/postgres/append.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';
import { eventually } from '../support/postgres-waits.ts';
import { CuttingProxy } from './cutting-proxy.ts';

// What each trick does to a statement that commits, as Postgres and the one who sent it see it.

let database: TestDatabase;
let proxy: CuttingProxy;
let observer: pg.Client;
const clients: pg.Client[] = [];

beforeAll(async () => {
  database = await openTestDatabase();
  observer = new pg.Client({ connectionString: database.superuserUrl });
  await observer.connect();
  await observer.query('CREATE TABLE marks (mark int)');
});
beforeEach(async () => {
  await observer.query('TRUNCATE marks');
  proxy = await CuttingProxy.start(Number(new URL(database.superuserUrl).port));
});
afterEach(async () => {
  await proxy.close();
  for (const client of clients.splice(0)) await client.end().catch(() => {});
});
afterAll(async () => {
  await observer.end();
  await database.close();
});

async function connected(): Promise<pg.Client> {
  const url = new URL(database.superuserUrl);
  url.port = String(proxy.port);
  const client = new pg.Client({ connectionString: url.href });
  client.on('error', () => {});
  clients.push(client);
  await client.connect();
  return client;
}

/** Goes by the name of an append. */
const mark = (client: pg.Client) =>
  client.query({ name: APPEND.name, text: 'INSERT INTO marks VALUES ($1)', values: [1] });

const countMarks = async () => (await observer.query('SELECT FROM marks')).rowCount ?? 0;
const marked = () => eventually(async () => ((await countMarks()) === 1 ? true : undefined));

test('without a trick everything passes', async () => {
  const client = await connected();
  await mark(client);
  await mark(client);
  expect(await countMarks()).toBe(2);
});

test.each(['cut-after-sending', 'cut-before-answer'] as const)(
  '%s: it is committed, and who sent it hears of a broken connection',
  async (kind) => {
    const client = await connected();
    proxy.arm({ kind }, 1);
    await client.query('SELECT 1'); // not struck: it commits nothing
    await expect(mark(client)).rejects.toThrow(/ECONNRESET|terminated/);
    await marked();
    expect(proxy.played).toBe(1);
    await mark(await connected());
    expect(await countMarks()).toBe(2);
  },
);

test('swallow-answer: it is committed, and who sent it hears nothing', async () => {
  const client = await connected();
  proxy.arm({ kind: 'swallow-answer' }, 1);
  let heard = false;
  mark(client).then(
    () => {
      heard = true;
    },
    () => {
      heard = true;
    },
  );
  await marked();
  await mark(await connected()); // an answer to another one came meanwhile
  expect(heard).toBe(false);
});

test('delay-answer: it is committed, and who sent it hears of it later', async () => {
  const client = await connected();
  proxy.arm({ kind: 'delay-answer', ms: 300 }, 1);
  const sentAt = performance.now();
  const answer = mark(client);
  await marked();
  await answer;
  expect(performance.now() - sentAt).toBeGreaterThanOrEqual(299);
});

test('deliver-late: who sent it hears of a broken connection, and it is committed after that', async () => {
  const client = await connected();
  proxy.arm({ kind: 'deliver-late', ms: 300 }, 1);
  await expect(mark(client)).rejects.toThrow(/ECONNRESET|terminated/);
  expect(await countMarks()).toBe(0);
  await marked();
});

test('a black hole takes connections that there are and new ones, until it is lifted', async () => {
  const client = await connected();
  proxy.blackHole();
  const ends: string[] = [];
  mark(client).then(
    () => ends.push('answered'),
    () => ends.push('failed'),
  );
  connected().then(
    () => ends.push('connected'),
    () => ends.push('refused'),
  );
  await observer.query('SELECT pg_sleep(0.2)');
  expect(ends).toEqual([]);
  expect(proxy.swallowed).toBe(2);
  proxy.liftBlackHole();
  await mark(await connected());
  expect(await countMarks()).toBe(1);
  expect(ends).toEqual([]);
});
