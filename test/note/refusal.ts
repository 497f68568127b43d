import { expect } from '@jest/globals';
import { NoteError, type NoteErrorCode } from '../../src/note/index.ts';

/** Expects a NoteError with one of these codes, and returns it. */
export function expectRefusal(act: () => unknown, ...codes: NoteErrorCode[]): NoteError {
  let thrown: unknown;
  try {
    act();
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(NoteError);
  expect(codes).toContain((thrown as NoteError).code);
  return thrown as NoteError;
}
