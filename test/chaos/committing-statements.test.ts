import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { APPEND } from '../../src/postgres/append.ts';
import { CommittingStatements } from './committing-statements.ts';

const message = (type: string, ...body: readonly string[]) => {
  const bytes = Buffer.from(body.join('\0') + (body.length > 0 ? '\0' : ''), 'latin1');
  const length = Buffer.alloc(4);
  length.writeUInt32BE(4 + bytes.length);
  return Buffer.concat([Buffer.from(type, 'latin1'), length, bytes]);
};
const sync = message('S');
const startup = message('', 'user', 'somebody');
const append = Buffer.concat([message('B', '', APPEND.name, 'x'.repeat(1_000)), message('E', ''), sync]);
const read = Buffer.concat([message('B', '', 'qm_read_1', APPEND.name), message('E', ''), sync]);

const followed = (chunks: readonly Buffer[]) => {
  const statements = new CommittingStatements();
  const seen = chunks.map((chunk) => statements.feed(chunk));
  return { begins: seen.filter(({ begins }) => begins).length, ends: seen.filter(({ ends }) => ends).length };
};

test('appends and COMMIT are told from everything else, the first time and prepared', () => {
  expect(followed([startup, read, message('Q', 'BEGIN'), message('Q', 'ROLLBACK')])).toEqual({
    begins: 0,
    ends: 0,
  });
  expect(followed([startup, message('Q', 'COMMIT')])).toEqual({ begins: 1, ends: 1 });
  const first = Buffer.concat([message('P', APPEND.name, APPEND.text), append]);
  expect(followed([startup, read, first, read, append, read])).toEqual({ begins: 2, ends: 2 });
});

test('wherever the network splits them', () => {
  const stream = Buffer.concat([startup, read, append, read]);
  fc.assert(
    fc.property(fc.uniqueArray(fc.nat(stream.length), { maxLength: 20 }), (cuts) => {
      const places = [0, ...cuts.sort((a, b) => a - b), stream.length];
      const chunks = places.slice(1).map((end, i) => stream.subarray(places[i], end));
      expect(followed(chunks)).toEqual({ begins: 1, ends: 1 });
    }),
  );
});
