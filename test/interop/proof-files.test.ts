import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { verifyEd25519Natively } from '../../src/native/ed25519.ts';
import { parseTlogProof } from '../../src/note/index.ts';
import { verifyReceipt } from '../../src/verify/index.ts';
import { temporaryDirectory } from '../cli/temporary-directory.ts';
import { CarefulCaller } from '../integration/careful-caller.ts';
import { type ServerProcess, startServerProcess } from '../integration/server-process.ts';
import { flippedBits } from '../merkle/damage.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';
import { GoVerifiers, unanimous } from './go-verifiers.ts';

// The files that the commands of the product write, read by github.com/transparency-dev/formats/proof (the log half, as of any
// c2sp.org/tlog-proof) and by golang.org/x/mod/sumdb/tlog (the leaf half).
// Seen red: with the empty line left out after a path without hashes; with the leaf's index in the place of the record's.

const PROGRAM = join(import.meta.dirname, '../../bin/quartermaster.js');
const LINES = 1_000;
const BATCH = 300;

const directory = temporaryDirectory();
let database: TestDatabase;
let server: ServerProcess;
let verifiers: GoVerifiers;
let clusterId: string;
let vkey: string;
beforeAll(async () => {
  verifiers = await GoVerifiers.start();
  database = await openTestDatabase();
  server = await startServerProcess({ databaseUrl: database.databaseUrl });
  const caller = await CarefulCaller.ofNewCluster(server, server.seed);
  clusterId = caller.clusterId;
  vkey = caller.policy.logKeys[0] as string;
  writeFileSync(
    join(directory, 'audit.log'),
    Array.from({ length: LINES }, (_, i) => `${textOf(i + 1)}\n`).join(''),
  );
  writeFileSync(join(directory, 'one.log'), 'the only line\n');
});
afterAll(async () => {
  await server.kill('SIGTERM');
  await database.close();
  await verifiers.stop();
});

describe('.tlog-proof files, to Go', () => {
  test('the first proof of a log, in which both paths are empty, is accepted', async () => {
    await quartermaster('anchor', '--cluster', clusterId, '--lines', 'one.log', '--key', vkey);
    const file = await proofOf('one.log', 1);
    expect(parseTlogProof(file.toString())).toMatchObject({ leafPath: [], recordPath: [] });
    expect(unanimous(await verifiers.proofFile(file, vkey, digest('the only line')))).toBe(true);
  });

  test('the proofs of lines of every batch are accepted: the record is in the log, the line in the record', async () => {
    const anchor = ['anchor', '--cluster', clusterId, '--lines', 'audit.log', '--key', vkey];
    await quartermaster(...anchor, '--batch', String(BATCH));
    // The first and the last of a batch, one in a batch of another size, and some between.
    for (const line of [1, 2, 300, 301, 555, 600, 901, 1_000]) {
      const file = await proofOf('audit.log', line);
      const logHalf = await verifiers.proofFile(file, vkey);
      expect([...logHalf.keys()]).toEqual(['github.com/transparency-dev/formats/proof']);
      expect(unanimous(logHalf)).toBe(true);
      expect(unanimous(await verifiers.proofFile(file, vkey, digest(textOf(line))))).toBe(true);
      const other = await verifiers.proofFile(file, vkey, digest(textOf(line === 1 ? 2 : line - 1)));
      expect(other.get('golang.org/x/mod/sumdb/tlog')!.refused).not.toBe('');
    }
  });

  test('every changed bit of a proof is refused, by Go and by us', async () => {
    const file = await proofOf('audit.log', 555);
    const leaf = digest(textOf(555));
    const damaged = [...flippedBits(file)];
    const verdicts = await Promise.all(damaged.map((bytes) => verifiers.proofFile(bytes, vkey, leaf)));
    // Whoever checks both halves accepts none but other spellings of the signature's last letter (see go-checkpoints.test.ts).
    const accepted = verdicts.flatMap((verdict, i) => (acceptsLeaf(verdict) ? [Math.floor(i / 8)] : []));
    expect(accepted.every((at) => at === file.length - 3)).toBe(true);
    expect(accepted.length).toBeLessThan(4);
    for (const bytes of damaged) expect(() => verifyOurselves(bytes, leaf)).toThrow();
    verifyOurselves(file, leaf);
  });

  test('the key of another log accepts none of them', async () => {
    const other = await CarefulCaller.ofNewCluster(server, server.seed);
    const file = await proofOf('audit.log', 555);
    expect(unanimous(await verifiers.proofFile(file, other.policy.logKeys[0] as string))).toBe(false);
  });
});

type ProofVerdicts = Awaited<ReturnType<GoVerifiers['proofFile']>>;

function acceptsLeaf(verdicts: ProofVerdicts): boolean {
  return verdicts.get('golang.org/x/mod/sumdb/tlog')!.refused === '';
}

function verifyOurselves(file: Uint8Array, leaf: Uint8Array): void {
  const receipt = parseTlogProof(Buffer.from(file).toString());
  verifyReceipt(receipt, { leaf }, { logKeys: [vkey] }, { verifyEd25519: verifyEd25519Natively });
}

function textOf(line: number): string {
  return `event ${line} of a night without sleep`;
}

function digest(text: string): Uint8Array {
  return createHash('sha256').update(text).digest();
}

async function proofOf(log: string, line: number): Promise<Buffer> {
  const out = `${log}.${line}.tlog-proof`;
  const manifest = `${log}.manifest.jsonl`;
  await quartermaster('prove', '--manifest', manifest, '--line', String(line), '--out', out);
  return readFileSync(join(directory, out));
}

/** The real program, in a process of its own. @throws where it does not end with 0 */
async function quartermaster(...argv: readonly string[]): Promise<void> {
  await promisify(execFile)(process.execPath, [PROGRAM, ...argv, '--endpoint', server.address], {
    cwd: directory,
    env: { PATH: process.env.PATH ?? '' },
  });
}
