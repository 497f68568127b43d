import { expect } from '@jest/globals';
import { RecordError, type RecordErrorCode } from '../../src/record/index.ts';

/** Expects a RecordError with this code, about this field where one is named. */
export function expectRefusal(act: () => unknown, code: RecordErrorCode, field?: string): void {
  let thrown: unknown;
  try {
    act();
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(RecordError);
  expect(thrown).toMatchObject(field === undefined ? { code } : { code, field });
}
