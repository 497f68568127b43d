import { RequestError } from './error.ts';
import { MAX_SMALL_MESSAGE_BYTES } from './limits.ts';

/** `decode`, for bytes that may have come out of a much smaller compressed message. */
export function smallMessage<T>(decode: (bytes: Uint8Array) => T): (bytes: Uint8Array) => T {
  return (bytes) => {
    if (bytes.byteLength > MAX_SMALL_MESSAGE_BYTES) {
      throw new RequestError(
        'MESSAGE_TOO_LARGE',
        `the request message has ${bytes.byteLength} bytes, at most ${MAX_SMALL_MESSAGE_BYTES} are taken here`,
      );
    }
    return decode(bytes);
  };
}
