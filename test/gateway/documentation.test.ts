// docs/gateway.md says what the code does.

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { checkOptions } from '../../src/gateway/check-options.ts';
import type { GatewayOptions } from '../../src/gateway/options.ts';
import { prometheusText } from '../../src/gateway/prometheus.ts';
import { readExposition } from './exposition.ts';
import { BUSY } from './gateway-stats.ts';

const page = readFileSync(new URL('../../docs/gateway.md', import.meta.url), 'utf8');

function section(heading: string): string {
  const found = page.split(/^## /m).find((text) => text.startsWith(`${heading}\n`));
  if (found === undefined) throw new Error(`docs/gateway.md has no section "${heading}"`);
  return found;
}

/** What is in the first column of the section's table. */
const firstColumn = (heading: string): string[] =>
  [...section(heading).matchAll(/^\| (`.*?`) +\|/gm)].flatMap(([, names = '']) =>
    [...names.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name),
  );

test('the metrics are those that there are', () => {
  expect(firstColumn('Metrics')).toEqual(
    expect.arrayContaining([...readExposition(prometheusText(BUSY)).keys()]),
  );
  expect(firstColumn('Metrics')).toHaveLength(readExposition(prometheusText(BUSY)).size);
});

// Red when the page names an option that is none, or leaves one out.
test('the options are those that there are', () => {
  const names = firstColumn('Options');
  const given: Record<string, unknown> = { another: 1, batch: { another: 1 }, retry: {}, verification: {} };
  for (const name of names) {
    const [group = '', option] = name.split('.');
    if (option === undefined) given[group] = Symbol('wrong');
    else given[group] = { ...(given[group] as object), [option]: Symbol('wrong') };
  }
  let message = '';
  try {
    checkOptions(given as unknown as GatewayOptions);
  } catch (error) {
    message = (error as Error).message;
  }
  expect(message.match(/[\w.]+ is no option/g)).toEqual([
    'another is no option',
    'batch.another is no option',
  ]);
  for (const name of names) expect(message).toContain(`${name} `);
  expect(names).toHaveLength(18);
});

test('the command that computes a leaf prints what the page says', () => {
  const digest = section('The digest of an event');
  const command = /```sh\n(.*?)```/s.exec(digest)?.[1] ?? '';
  const expected = /prints `([0-9a-f]{64})`/.exec(digest)?.[1];
  expect(execFileSync('sh', ['-c', command], { encoding: 'utf8' }).split(' ')[0]).toBe(expected);
  const golden = JSON.parse(readFileSync(new URL('../golden/events.json', import.meta.url), 'utf8'));
  expect(golden[0].leaf).toBe(expected);
});
