import { expect, test } from '@jest/globals';
import { createLogger, writingOnceATurn } from '../../src/cli/serving/logger.ts';

// Seen red with the serializer that pino has by default.
test('an error is logged without the rows and connections that the driver hangs on it', () => {
  const lines: string[] = [];
  const cause = Object.assign(new Error('violates check constraint'), {
    code: '23514',
    detail: 'Failing row contains (\\x1eaf)',
    client: { secretKey: 1261994168 },
  });
  const logger = createLogger('info', (line) => lines.push(line));
  logger.error({ err: new Error('rejected', { cause }) }, 'an anchor was rejected');
  logger.error({ err: cause }, 'a connection broke');
  expect(lines.join('')).not.toMatch(/1eaf|1261994168/);
  expect(lines.map((line) => JSON.parse(line))).toEqual([
    expect.objectContaining({
      err: expect.objectContaining({ message: 'rejected', cause: expect.anything() }),
    }),
    expect.objectContaining({
      err: expect.objectContaining({ message: 'violates check constraint', code: '23514' }),
    }),
  ]);
});

test('the lines of one turn are written together, in order, and none is lost', async () => {
  const written: string[] = [];
  const write = writingOnceATurn((lines) => written.push(lines));
  write('a\n');
  write('b\n');
  expect(written).toEqual([]);
  await new Promise(setImmediate);
  expect(written).toEqual(['a\nb\n']);
  write('c\n');
  await new Promise(setImmediate);
  expect(written).toEqual(['a\nb\n', 'c\n']);
});
