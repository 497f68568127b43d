import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { formatTlogProof, parseTlogProof, type TlogProof } from '../../src/note/index.ts';
import { expectRefusal } from './refusal.ts';

const golden = readFileSync(new URL('../golden/receipt.tlog-proof', import.meta.url), 'utf8');
const checkpoint = readFileSync(new URL('../golden/checkpoint-5.txt', import.meta.url), 'utf8');

const path = fc.array(fc.uint8Array({ minLength: 32, maxLength: 32 }), { maxLength: 64 });
const proof: fc.Arbitrary<TlogProof> = fc.record({
  leafIndex: fc.maxSafeNat(),
  leafPath: path,
  record: fc.uint8Array({ maxLength: 300 }),
  logIndex: fc.maxSafeNat(),
  recordPath: path,
  checkpoint: fc.constant(checkpoint),
});
const b64 = (text: string) => Buffer.from(text).toString('base64');
const withExtra = (extra: string) => `c2sp.org/tlog-proof@v1\nextra ${b64(extra)}\nindex 0\n\n${checkpoint}`;

describe('.tlog-proof files', () => {
  test('what is written is read back, also with records that are not text or hold empty lines', () => {
    fc.assert(
      fc.property(proof, (value) => {
        expect(parseTlogProof(formatTlogProof(value))).toEqual(value);
      }),
    );
    const odd = { leafIndex: 0, leafPath: [], logIndex: 0, recordPath: [], checkpoint };
    for (const record of ['', '\n', '\n\n', 'a\n\nb\n']) {
      const value = { ...odd, record: new TextEncoder().encode(record) };
      expect(parseTlogProof(formatTlogProof(value))).toEqual(value);
    }
  });

  // Seen red when path lines were decoded by Buffer.from(line, 'base64'), which forgives.
  test('every damage of one character is refused or reads as another proof, never as the same one', () => {
    for (let index = 0; index < golden.length; index++) {
      const code = golden.charCodeAt(index);
      const replacements = ['', '\n', ' ', '\r', '=', 'A', golden[index]! + golden[index]!];
      for (let bit = 0; bit < 7; bit++) replacements.push(String.fromCharCode(code ^ (1 << bit)));
      for (const replacement of replacements) {
        const damaged = golden.slice(0, index) + replacement + golden.slice(index + 1);
        if (damaged === golden) continue;
        let parsed: TlogProof;
        try {
          parsed = parseTlogProof(damaged);
        } catch (error) {
          expect(error).toMatchObject({ name: 'NoteError' });
          continue;
        }
        // One text per proof: what reads at all is written again exactly so.
        if (formatTlogProof(parsed) !== damaged) throw new Error(`${index}: ${JSON.stringify(replacement)}`);
      }
    }
  });

  test.each([
    ['another first line', golden.replace('@v1', '@v2')],
    ['CRLF', golden.replaceAll('\n', '\r\n')],
    ['no index', golden.replace('index 3\n', '')],
    ['a leading zero', golden.replace('index 3\n', 'index 03\n')],
    ['an index beyond 2^53-1', golden.replace('index 3\n', 'index 9007199254740992\n')],
    ['a negative index', golden.replace('index 3\n', 'index -3\n')],
    ['a second extra line', golden.replace('index 3\n', 'extra AAAA\nindex 3\n')],
    ['a short path line', golden.replace('index 3\n', 'index 3\nAAAA\n')],
    ['65 path lines', golden.replace('index 3\n', `index 3\n${`${b64('x'.repeat(32))}\n`.repeat(65)}`)],
    ['nothing after its head', golden.slice(0, golden.indexOf('\n\n'))],
    ['nothing', ''],
    ['a leading zero in the leaf index', withExtra('quartermaster.dev/leaf-proof@v1\nindex 00\n\nrecord')],
    ['no leaf index', withExtra('quartermaster.dev/leaf-proof@v1\n\nrecord')],
    ['a bad leaf path line', withExtra('quartermaster.dev/leaf-proof@v1\nindex 0\nAAAA\n\nrecord')],
    [
      'bytes above ASCII in the leaf path',
      withExtra('quartermaster.dev/leaf-proof@v1\nindex 0\né\n\nrecord'),
    ],
    ['an empty extra line', golden.replace(/extra .*\n/, 'extra \n')],
    ['a byte order mark', `\ufeff${golden}`],
  ])('a proof with %s is refused', (_, hostile) => {
    expectRefusal(() => parseTlogProof(hostile), 'MALFORMED_PROOF', 'NOT_A_LEAF_PROOF');
  });

  test("somebody else's proof is told apart from a malformed one", () => {
    expectRefusal(
      () => parseTlogProof(`c2sp.org/tlog-proof@v1\nindex 0\n\n${checkpoint}`),
      'NOT_A_LEAF_PROOF',
    );
    expectRefusal(() => parseTlogProof(withExtra('age-v1.2.1')), 'NOT_A_LEAF_PROOF');
    expectRefusal(
      () => parseTlogProof(withExtra('quartermaster.dev/leaf-proof@v2\nindex 0\n\n')),
      'NOT_A_LEAF_PROOF',
    );
  });

  test('a proof whose checkpoint is malformed is refused', () => {
    const head = golden.slice(0, golden.indexOf('\n\n') + 2);
    expectRefusal(() => parseTlogProof(`${head}a\n0\nAAAA\n\n— a AAAAAAAA\n`), 'MALFORMED_CHECKPOINT');
    expectRefusal(() => parseTlogProof(golden.slice(0, -1)), 'MALFORMED_NOTE');
    expectRefusal(() => parseTlogProof(`${golden}\n`), 'MALFORMED_NOTE', 'MALFORMED_SIGNATURE');
    expectRefusal(() => parseTlogProof(`${golden}x\n`), 'MALFORMED_SIGNATURE');
  });

  test('what could not be read back is not written', () => {
    const good = parseTlogProof(golden);
    expectRefusal(() => formatTlogProof({ ...good, leafIndex: -1 }), 'BAD_ARGUMENT');
    expectRefusal(() => formatTlogProof({ ...good, logIndex: 2 ** 53 }), 'BAD_ARGUMENT');
    expectRefusal(() => formatTlogProof({ ...good, leafPath: [new Uint8Array(31)] }), 'BAD_ARGUMENT');
    expectRefusal(
      () => formatTlogProof({ ...good, recordPath: Array(65).fill(new Uint8Array(32)) }),
      'BAD_ARGUMENT',
    );
    expectRefusal(() => formatTlogProof({ ...good, record: new Uint8Array(65_537) }), 'BAD_ARGUMENT');
    expectRefusal(
      () => formatTlogProof({ ...good, checkpoint: `${checkpoint}\n` }),
      'MALFORMED_NOTE',
      'MALFORMED_SIGNATURE',
    );
  });

  test('hostile megabytes are refused in linear time', () => {
    const started = performance.now();
    for (const hostile of [
      `c2sp.org/tlog-proof@v1\nextra AAAA\nindex 0\n${'\n'.repeat(1_000_000)}`,
      `c2sp.org/tlog-proof@v1\nextra AAAA\nindex 0\n${'a\n'.repeat(500_000)}\n${checkpoint}`,
      withExtra(`quartermaster.dev/leaf-proof@v1\n${'\t\n'.repeat(300_000)}\n`),
      `c2sp.org/tlog-proof@v1\nextra ${'A'.repeat(1_000_000)}\nindex 0\n\n${checkpoint}`,
      'a'.repeat(100_000_000),
    ]) {
      expectRefusal(
        () => parseTlogProof(hostile),
        'TOO_LARGE',
        'MALFORMED_PROOF',
        'MALFORMED_NOTE',
        'NOT_A_LEAF_PROOF',
      );
    }
    expect(performance.now() - started).toBeLessThan(5000);
  });
});
