// Writing canonical JSON (RFC 8785) of values that a program has at hand, rather than of text that was JSON already: what JSON
// cannot say is refused. `JSON.stringify` drops it, so that two different events would have one digest.

import canonicalize from 'canonicalize';
import { RecordError } from './error.ts';

/** Arrays and objects within one another. Parsers of other languages bear it, and a cycle ends somewhere. */
export const MAX_NESTING = 200;
const MAX_PATH_LENGTH = 200;

/** What is wrong, and how to get there from the value that was looked at. */
interface Fault {
  readonly path: string;
  readonly problem: string;
}

/**
 * Writes a value in its one canonical spelling: names sorted, no white space, numbers as ECMAScript prints them (-0 as 0).
 *
 * Plain data only: null, booleans, finite numbers, well-formed strings, arrays, and objects without a class. Numbers are doubles:
 * an integer above 2^53 belongs in a string, as it was rounded before it came here.
 *
 * @param name of the value, for messages
 * @returns text without lone surrogates: its UTF-8 is what is hashed
 * @throws {RecordError} NOT_CANONICAL, with the path to the culprit
 */
export function writeCanonical(value: unknown, name: string): string {
  const fault = faultIn(value, []);
  if (fault !== undefined) {
    const path = name + fault.path;
    const shown = path.length > MAX_PATH_LENGTH ? `${path.slice(0, MAX_PATH_LENGTH)}…` : path;
    throw new RecordError('NOT_CANONICAL', `${shown} ${fault.problem}`);
  }
  const text = canonicalize(value);
  if (text === undefined) throw new RecordError('NOT_CANONICAL', `${name} is no JSON`);
  return text;
}

function faultIn(value: unknown, ancestors: object[]): Fault | undefined {
  switch (typeof value) {
    case 'boolean':
      return undefined;
    case 'string':
      return value.isWellFormed() ? undefined : here('holds a lone surrogate, which UTF-8 cannot say');
    case 'number':
      return Number.isFinite(value) ? undefined : here(`is ${value}, which JSON cannot say`);
    case 'bigint':
      return here('is a bigint: write it as a decimal string');
    case 'undefined':
      return here('is undefined: leave it out, or say null');
    case 'object':
      return value === null ? undefined : faultInside(value, ancestors);
    default:
      return here(`is a ${typeof value}, which JSON cannot say`);
  }
}

function faultInside(value: object, ancestors: object[]): Fault | undefined {
  if (ancestors.includes(value)) return here('is one of the objects that hold it: a cycle');
  if (ancestors.length === MAX_NESTING) return here(`is nested deeper than ${MAX_NESTING} levels`);
  ancestors.push(value);
  const fault = Array.isArray(value) ? faultInArray(value, ancestors) : faultInObject(value, ancestors);
  ancestors.pop();
  return fault;
}

function faultInArray(array: readonly unknown[], ancestors: object[]): Fault | undefined {
  // By index, so that a hole is seen as the undefined that it reads as.
  for (let index = 0; index < array.length; index++) {
    const fault = faultIn(array[index], ancestors);
    if (fault !== undefined) return { ...fault, path: `[${index}]${fault.path}` };
  }
  return undefined;
}

function faultInObject(value: object, ancestors: object[]): Fault | undefined {
  if (!isPlain(value)) return here(`is ${classOf(value)}: write it as plain JSON first`);
  if (Object.getOwnPropertySymbols(value).length > 0) return here('has a member that is named by a symbol');
  for (const [key, member] of Object.entries(value)) {
    if (!key.isWellFormed()) return here('has a name with a lone surrogate, which UTF-8 cannot say');
    const fault = faultIn(member, ancestors);
    if (fault !== undefined) return { ...fault, path: step(key) + fault.path };
  }
  return undefined;
}

/** A Date or a Map would be written as something else than what it is, or as nothing. Of another realm is as plain. */
function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

function classOf(value: object): string {
  const made: unknown = value.constructor;
  return typeof made === 'function' && made.name !== '' ? `of class ${made.name}` : 'of a class';
}

function here(problem: string): Fault {
  return { path: '', problem };
}

function step(key: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`;
}
