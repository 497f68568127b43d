/** Every way to change one bit of some bytes. */
export function* flippedBits(bytes: Uint8Array): Generator<Uint8Array> {
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const damaged = new Uint8Array(bytes);
    damaged[bit >> 3]! ^= 1 << (bit & 7);
    yield damaged;
  }
}

/** Every way to change one bit of one hash of a path. */
export function* flippedPaths(path: readonly Uint8Array[]): Generator<Uint8Array[]> {
  for (const [i, hash] of path.entries()) {
    for (const damaged of flippedBits(hash)) yield path.with(i, damaged);
  }
}

/** Paths with a hash too many or too few, or hashes that are not 32 bytes. */
export function* misshapenPaths(
  path: readonly Uint8Array[],
  extra: readonly Uint8Array[],
): Generator<Uint8Array[]> {
  for (const hash of extra) {
    for (let at = 0; at <= path.length; at++) yield path.toSpliced(at, 0, hash);
  }
  for (const [i, hash] of path.entries()) {
    yield path.toSpliced(i, 1);
    yield path.with(i, hash.subarray(0, 31));
    yield path.with(i, Uint8Array.of(...hash, 0));
    yield path.with(i, new Uint8Array());
  }
}
