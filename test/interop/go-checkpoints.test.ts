import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { VerificationError, verifyCheckpoint } from '../../src/verify/index.ts';
import { type ServerProcess, startServerProcess } from '../integration/server-process.ts';
import { flippedBits } from '../merkle/damage.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';
import { GoVerifiers, hex, unanimous } from './go-verifiers.ts';
import { type GrownLog, growLog } from './grown-log.ts';

// golang.org/x/mod/sumdb/note and github.com/transparency-dev/formats/log on what a running server signs.
// Seen red: with the key id computed without its newline; with the root's bytes in reverse; with the signature over the text
// without its last newline. Our own verifier, with the same code on both sides, would agree with the first two.

let database: TestDatabase;
let server: ServerProcess;
let verifiers: GoVerifiers;
let log: GrownLog;
let another: GrownLog;
beforeAll(async () => {
  verifiers = await GoVerifiers.start();
  database = await openTestDatabase();
  server = await startServerProcess({ databaseUrl: database.databaseUrl });
  log = await growLog(server, [1, 2, 3, 100]);
  another = await growLog(server, [1]);
});
afterAll(async () => {
  await server.kill('SIGTERM');
  await database.close();
  await verifiers.stop();
});

describe('checkpoints and keys, to Go', () => {
  test('the key that the server tells is the one that the seed gives', async () => {
    const { keys, origin } = await server.notary.getLog({ clusterId: log.clusterId });
    expect(keys.map(({ vkey }) => vkey)).toEqual([log.vkey]);
    expect(origin).toBe(log.origin);
  });

  test('every checkpoint is signed by the log, that of the empty log too, and says its size and root', async () => {
    const records = log.batches.map(({ record }) => record);
    const roots = [...(await verifiers.roots(records)).values()];
    expect(roots).toHaveLength(2);
    for (const [size, note] of log.checkpoints.entries()) {
      const verdicts = await verifiers.checkpoint(note, log.vkey);
      expect([...verdicts.keys()].sort()).toEqual([
        'github.com/transparency-dev/formats/log',
        'golang.org/x/mod/sumdb/note',
      ]);
      expect(unanimous(verdicts)).toBe(true);
      for (const { head } of verdicts.values()) {
        expect(head).toMatchObject({ origin: log.origin, size });
        // The roots that Go computes from the records alone.
        for (const computed of roots) expect(hex(head!.root)).toBe(computed[size]);
      }
    }
  });

  test('every changed bit of a checkpoint is refused', async () => {
    for (const note of [log.checkpoints[0]!, log.checkpoints[4]!]) {
      const bytes = Buffer.from(note);
      const damaged = [...flippedBits(bytes)];
      const accepted = await acceptedOf(damaged.map((bytes) => verifiers.checkpoint(bytes, log.vkey)));
      // 68 bytes are 91 letters of base64, of which the last has two bits that mean nothing: Go ignores them, c2sp.org/signed-note
      // leaves that open, and we do not.
      for (const i of accepted) {
        const sameSignature = damaged[i]!;
        expect(Math.floor(i / 8)).toBe(bytes.length - 3);
        expect(signatureIn(sameSignature)).toEqual(signatureIn(bytes));
        expect(() => verifyCheckpoint(Buffer.from(sameSignature).toString(), policyOf(log))).toThrow(
          VerificationError,
        );
      }
      expect(accepted.length).toBeLessThan(4);
    }
  });

  test('a key with any changed bit, and the key of another log, accept nothing', async () => {
    const note = log.checkpoints[4]!;
    const keys = [...flippedBits(Buffer.from(log.vkey))]
      // JSON carries text; what is no text could not be given to Go as a key either.
      .map((bytes) => Buffer.from(bytes).toString())
      .filter((vkey) => Buffer.from(vkey).length === Buffer.from(log.vkey).length);
    expect(keys.length).toBeGreaterThan(log.vkey.length * 6);
    // The key itself may have a `+`, or two.
    const parts = /^([^+]+)\+([^+]+)\+(.+)$/.exec(log.vkey)?.slice(1);
    const [name, keyId, key] = parts as [string, string, string];
    const accepted = await acceptedOf(keys.map((vkey) => verifiers.checkpoint(note, vkey)));
    // The id is read as hexadecimal of either case; every other letter counts.
    for (const i of accepted) {
      const changed = keys[i]!;
      expect(changed.slice(0, name.length + 1)).toBe(`${name}+`);
      expect(changed.slice(name.length + 1, -key.length - 1).toLowerCase()).toBe(keyId);
      expect(changed.slice(-key.length)).toBe(key);
    }
    expect(unanimous(await verifiers.checkpoint(note, another.vkey))).toBe(false);
    // Under its own name, so that it is the key alone that differs.
    const keyOfAnother = another.vkey.slice(another.vkey.indexOf('+'));
    expect(unanimous(await verifiers.checkpoint(note, `${log.origin}${keyOfAnother}`))).toBe(false);
  });

  test('a checkpoint with signatures of unknown keys beside the log’s, of three kinds and in any order, is accepted by both sides', async () => {
    const cosigned = await verifiers.cosign(log.checkpoints[4]!, log.vkey);
    const [text, signatures] = cosigned.note.split('\n\n') as [string, string];
    const lines = signatures.trimEnd().split('\n');
    expect(lines).toHaveLength(4);
    for (const order of [lines, lines.toReversed(), [...lines.slice(2), ...lines.slice(0, 2)]]) {
      const note = `${text}\n\n${order.join('\n')}\n`;
      expect(unanimous(await verifiers.checkpoint(note, log.vkey))).toBe(true);
      expect(verifyCheckpoint(note, policyOf(log))).toMatchObject({ size: 4, signers: [log.vkey] });
    }
    const withoutLog = `${text}\n\n${lines.filter((line) => !line.includes(log.origin)).join('\n')}\n`;
    expect(unanimous(await verifiers.checkpoint(withoutLog, log.vkey))).toBe(false);
    expect(() => verifyCheckpoint(withoutLog, policyOf(log))).toThrow(
      expect.objectContaining({ code: 'UNKNOWN_KEY' }),
    );
  });
});

function policyOf({ vkey }: GrownLog) {
  return { logKeys: [vkey] };
}

/** Which of them both implementations accept. */
async function acceptedOf(asked: readonly ReturnType<GoVerifiers['checkpoint']>[]): Promise<number[]> {
  const answers = await Promise.all(asked);
  return answers.flatMap((verdicts, i) => (unanimous(verdicts) ? [i] : []));
}

function signatureIn(note: Uint8Array): Buffer {
  return Buffer.from(Buffer.from(note).toString().trimEnd().split(' ').at(-1)!, 'base64');
}
