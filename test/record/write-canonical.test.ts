import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { MAX_NESTING, writeCanonical } from '../../src/record/index.ts';
import { expectRefusal } from './refusal.ts';

class Session {
  readonly user = 'ada';
}

function cyclic(): object {
  const inner: Record<string, unknown> = {};
  const outer = { list: [1, inner] };
  inner.back = outer;
  return outer;
}

/** So many arrays within one another. */
function nested(levels: number): unknown {
  let value: unknown = 1;
  for (let level = 0; level < levels; level++) value = [value];
  return value;
}

function problemOf(value: unknown): string {
  try {
    writeCanonical(value, 'event');
  } catch (error) {
    return (error as Error).message;
  }
  return 'none';
}

describe('what JSON cannot say is refused, with the path to it', () => {
  // Red when its own case is taken out of faultIn, isPlain or faultInObject; most are then dropped or written as null.
  test.each<[string, unknown, string]>([
    ['undefined in an object', { a: { b: undefined } }, 'event.a.b is undefined'],
    ['undefined in an array', { a: [1, undefined] }, 'event.a[1] is undefined'],
    ['a hole in an array', { a: new Array(3) }, 'event.a[0] is undefined'],
    ['a function', { run() {} }, 'event.run is a function'],
    ['a symbol', { a: Symbol('s') }, 'event.a is a symbol'],
    [
      'a name that is a symbol',
      { a: { [Symbol('s')]: 1 } },
      'event.a has a member that is named by a symbol',
    ],
    ['a bigint', { a: { n: 1n } }, 'event.a.n is a bigint: write it as a decimal string'],
    ['NaN', { a: [Number.NaN] }, 'event.a[0] is NaN'],
    ['infinity', { a: Number.NEGATIVE_INFINITY }, 'event.a is -Infinity'],
    ['a lone surrogate', { a: 'x\ud800' }, 'event.a holds a lone surrogate'],
    ['a lone surrogate in a name', { a: { '\udc00': 1 } }, 'event.a has a name with a lone surrogate'],
    ['a Date', { at: new Date(0) }, 'event.at is of class Date'],
    ['a Map', { 'user agent': new Map([['a', 1]]) }, 'event["user agent"] is of class Map'],
    ['bytes', { leaf: new Uint8Array(2) }, 'event.leaf is of class Uint8Array'],
    ['an object of a class', { sessions: [new Session()] }, 'event.sessions[0] is of class Session'],
    ['an object that writes itself', { a: { toJSON: () => 'other' } }, 'event.a.toJSON is a function'],
    ['a boxed string', { a: Object('x') }, 'event.a is of class String'],
    ['a cycle', cyclic(), 'event.list[1].back is one of the objects that hold it'],
    ['nothing at all', undefined, 'event is undefined'],
  ])('%s', (_name, value, problem) => {
    expectRefusal(() => writeCanonical(value, 'event'), 'NOT_CANONICAL');
    expect(problemOf(value)).toContain(problem);
  });

  test('depth is bounded, so that no input overflows the stack', () => {
    expect(writeCanonical(nested(MAX_NESTING), 'event')).toHaveLength(2 * MAX_NESTING + 1);
    expect(problemOf(nested(MAX_NESTING + 1))).toContain('is nested deeper than 200 levels');
    expect(problemOf(nested(100_000))).toContain('is nested deeper than 200 levels');
  });

  test('a path of any length makes a short message', () => {
    expect(problemOf({ ['k'.repeat(10_000)]: undefined }).length).toBeLessThan(300);
  });
});

describe('what JSON can say', () => {
  test('one object in two places is no cycle', () => {
    const user = { name: 'ada' };
    expect(writeCanonical({ by: user, for: [user, user] }, 'event')).toBe(
      '{"by":{"name":"ada"},"for":[{"name":"ada"},{"name":"ada"}]}',
    );
  });

  test('objects without a prototype, as parsers of query strings make them, are plain', () => {
    const query = Object.assign(Object.create(Object.create(null)), { b: 2, a: 1 });
    expect(writeCanonical({ query }, 'event')).toBe('{"query":{"a":1,"b":2}}');
  });

  test('a member called __proto__ is a member', () => {
    expect(writeCanonical(JSON.parse('{"b":1,"__proto__":{"a":2}}'), 'event')).toBe(
      '{"__proto__":{"a":2},"b":1}',
    );
  });

  // Red without the sorting of the library: two spellings then have two texts.
  test('any JSON is read back as the same value, and every spelling of it gives the same text', () => {
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: 'binary' }), (value) => {
        const text = writeCanonical(value, 'event');
        // Through JSON first: it has no -0.
        expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)));
        expect(writeCanonical(JSON.parse(JSON.stringify(value, null, 1)), 'event')).toBe(text);
        expect(writeCanonical(backwards(value), 'event')).toBe(text);
      }),
    );
  });
});

/** The same value, its members inserted in the opposite order. */
function backwards(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(backwards);
  if (value === null || typeof value !== 'object') return value;
  const entries = Object.entries(value).reverse();
  return Object.fromEntries(entries.map(([name, member]) => [name, backwards(member)]));
}
