import { assemble } from './encoding.ts';
import { PAGES } from './layout.ts';
import { messageFunction } from './message.ts';
import { leavesFunction, nodesFunction } from './rows.ts';

/**
 * The bytes of a WebAssembly module that exports `Sha256Exports`. They are generated where they are needed, in a few
 * milliseconds, so that there is no binary whose source one would have to believe in.
 */
export function sha256Module(): Uint8Array<ArrayBuffer> {
  return assemble(PAGES, [leavesFunction(), nodesFunction(), messageFunction()]);
}
