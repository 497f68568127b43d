import { createHash } from 'node:crypto';

/**
 * The roots of a log at every size (RFC 6962 section 2.1), over node:crypto alone: it shares no code with what it judges.
 *
 * @returns root number n is that of the first n records, hex
 */
export function rootsOf(records: readonly Uint8Array[]): string[] {
  /** Of complete subtrees, the largest first: one for each bit of the size. */
  const edge: { readonly leaves: number; readonly hash: Buffer }[] = [];
  const roots = [sha256().toString('hex')];
  for (const record of records) {
    edge.push({ leaves: 1, hash: sha256(Uint8Array.of(0), record) });
    for (let last = edge.at(-1)!, before = edge.at(-2); before?.leaves === last.leaves; ) {
      edge.splice(-2, 2, { leaves: 2 * last.leaves, hash: nodeHash(before.hash, last.hash) });
      last = edge.at(-1)!;
      before = edge.at(-2);
    }
    const root = edge.map(({ hash }) => hash).reduceRight((right, left) => nodeHash(left, right));
    roots.push(root.toString('hex'));
  }
  return roots;
}

function nodeHash(left: Uint8Array, right: Uint8Array): Buffer {
  return sha256(Uint8Array.of(1), left, right);
}

function sha256(...parts: readonly Uint8Array[]): Buffer {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
}
