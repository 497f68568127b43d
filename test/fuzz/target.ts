import type { Arbitrary } from 'fast-check';

/** What is fed to a parser: the text or the bytes, never an object, so that every input can be printed, kept and replayed. */
export type Input = string | Uint8Array;

/** One thing that parses, and how it is attacked. */
export interface Target {
  readonly name: string;
  /** Its part of the inputs of a run, relative to the others: what is cheap and central gets many. */
  readonly share: number;
  open(): Opened | Promise<Opened>;
}

export interface Opened {
  readonly inputs: Arbitrary<Input>;
  /**
   * Feeds one input in. Throws where the code under test crashed (anything but its layer's own error), or accepted what it
   * must not.
   *
   * @returns whether the input was accepted, so that a run can show that it reached what lies behind the first check
   */
  check(input: Input): boolean | Promise<boolean>;
  readonly growth?: readonly Growth[];
  close?(): Promise<void>;
}

/** An input that is made larger and larger: the time may grow with its size, not with the square of it. */
export interface Growth {
  readonly name: string;
  /** Units of the smallest input; the largest has `GROWTH_FACTOR` times as many. */
  readonly from: number;
  /** Makes an input of so many units; only the returned function is timed. */
  prepare(units: number): () => void;
}

type ErrorClass = abstract new (...given: never[]) => Error;

/** What a parser answered, or undefined where it refused with its own error. Anything else that it throws is a crash. */
export function parsed<T>(parse: () => T, ...refusals: readonly ErrorClass[]): T | undefined {
  try {
    return parse();
  } catch (error) {
    if (isRefusal(error, refusals)) return undefined;
    throw new Error(`crashed with ${String(error)}`, { cause: error });
  }
}

/** The same for what answers later. */
export async function parsedLater<T>(
  parse: () => Promise<T>,
  ...refusals: readonly ErrorClass[]
): Promise<T | undefined> {
  try {
    return await parse();
  } catch (error) {
    if (isRefusal(error, refusals)) return undefined;
    throw new Error(`crashed with ${String(error)}`, { cause: error });
  }
}

function isRefusal(error: unknown, refusals: readonly ErrorClass[]): boolean {
  return refusals.some((refusal) => error instanceof refusal);
}

/** Fails the input. */
export function must(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(what);
}

export function asText(input: Input): string {
  must(typeof input === 'string', 'this target takes text');
  return input;
}

export function asBytes(input: Input): Uint8Array {
  must(typeof input !== 'string', 'this target takes bytes');
  return input;
}
