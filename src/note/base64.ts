// Standard base64 with padding (RFC 4648 section 4). Written out because `atob` forgives white space and trailing bits, and
// two spellings of one signature would be two notes.

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const PADDING = 61;
const INVALID = 255;

const VALUE_OF = new Uint8Array(128).fill(INVALID);
for (let value = 0; value < 64; value++) VALUE_OF[ALPHABET.charCodeAt(value)] = value;

/** Encodes bytes as padded standard base64. */
export function encodeBase64(bytes: Uint8Array): string {
  let text = '';
  let offset = 0;
  for (; offset + 3 <= bytes.length; offset += 3) {
    text += quartet(triple(bytes, offset), 4);
  }
  const left = bytes.length - offset;
  if (left > 0) text += quartet(triple(bytes, offset), left + 1) + '='.repeat(3 - left);
  return text;
}

function triple(bytes: Uint8Array, offset: number): number {
  return ((bytes[offset] ?? 0) << 16) | ((bytes[offset + 1] ?? 0) << 8) | (bytes[offset + 2] ?? 0);
}

function quartet(bits: number, digits: number): string {
  let text = '';
  for (let digit = 0; digit < digits; digit++) text += ALPHABET.charAt((bits >> (18 - 6 * digit)) & 63);
  return text;
}

/**
 * Decodes the one canonical spelling of some bytes: padded, no white space, unused trailing bits zero
 * (RFC 4648 section 3.5).
 *
 * @returns the bytes, or `undefined` when `text` is not canonical base64.
 */
export function decodeBase64(text: string): Uint8Array | undefined {
  if (text.length % 4 !== 0) return undefined;
  let padding = 0;
  while (padding < 2 && text.charCodeAt(text.length - 1 - padding) === PADDING) padding++;
  const digits = text.length - padding;
  const bytes = new Uint8Array((text.length / 4) * 3 - padding);
  let written = 0;
  let bits = 0;
  let held = 0;
  for (let index = 0; index < digits; index++) {
    const value = VALUE_OF[text.charCodeAt(index)] ?? INVALID;
    if (value === INVALID) return undefined;
    bits = (bits << 6) | value;
    held += 6;
    if (held >= 8) {
      held -= 8;
      bytes[written++] = bits >> held;
      bits &= (1 << held) - 1;
    }
  }
  return bits === 0 ? bytes : undefined;
}
