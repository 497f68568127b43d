import { expect, test } from '@jest/globals';
import { type Classification, type Fidelity, shouldNotarize } from '../../src/gateway/should-notarize.ts';

// Red when any one of the nine differs: the whole table is stated.
test.each<[Classification, Fidelity, boolean]>([
  ['mutation', 'always_notarize', true],
  ['session_lifecycle', 'always_notarize', true],
  ['read', 'always_notarize', true],
  ['mutation', 'log_only', false],
  ['session_lifecycle', 'log_only', false],
  ['read', 'log_only', false],
  ['mutation', 'standard', true],
  ['session_lifecycle', 'standard', true],
  ['read', 'standard', false],
])('%s under %s: %s', (classification, fidelity, expected) => {
  expect(shouldNotarize(classification, fidelity)).toBe(expected);
});

test('a policy that says nothing is standard', () => {
  expect(shouldNotarize('mutation')).toBe(true);
  expect(shouldNotarize('read')).toBe(false);
});

// Red when the rule lists what is notarized rather than what is not.
test('what is on neither list is notarized when it may not be a read', () => {
  expect(shouldNotarize('configuration' as Classification)).toBe(true);
  expect(shouldNotarize('constructor' as Classification, 'toString' as Fidelity)).toBe(true);
  expect(shouldNotarize('read', 'normal' as Fidelity)).toBe(false);
});
