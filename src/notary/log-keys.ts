import { equalHashes } from '../merkle/index.ts';
import { verifyEd25519Natively } from '../native/ed25519.ts';
import {
  ED25519,
  formatVkey,
  headMacMessage,
  parseVkey,
  type SignatureLine,
  type VerifierKey,
  verifyNote,
} from '../note/index.ts';
import { NotaryError } from './error.ts';
import type { HeadMac, LogSigner, Signing } from './signing.ts';
import type { Head, LogKeyRow } from './storage.ts';

/** The keys of one cluster: those that sign now, and all that ever did. */
export class LogKeys {
  readonly #origin: string;
  readonly #signing: Signing;
  readonly #rows: readonly LogKeyRow[];
  readonly #verifiers: readonly VerifierKey[];
  readonly #signers: readonly LogSigner[];
  readonly #macs = new Map<number, HeadMac>();
  /** The epoch whose key makes the macs of new heads. */
  readonly epoch: number;

  private constructor(
    origin: string,
    signing: Signing,
    rows: readonly LogKeyRow[],
    signers: readonly LogSigner[],
  ) {
    this.#origin = origin;
    this.#signing = signing;
    this.#rows = rows;
    this.#signers = signers;
    this.#verifiers = rows.map(({ vkey }) => parseVkey(vkey));
    this.epoch = Math.max(...rows.map(({ epoch }) => epoch));
  }

  /**
   * Derives the keys of a cluster and compares them with the stored ones, so that a server with another seed never signs
   * under a name that is not its own. Retired keys too: whoever owns the database could else add one, which clients would be
   * told to trust, and under which signed "evidence" would be taken for the log's own.
   *
   * @throws NotaryError SIGNING_KEY_MISMATCH
   */
  static async open(origin: string, rows: readonly LogKeyRow[], signing: Signing): Promise<LogKeys> {
    if (rows.every(({ lastSize }) => lastSize !== undefined))
      throw mismatch(origin, 'it has no key that is in use');
    const signers: LogSigner[] = [];
    for (const row of rows) {
      const signer = await signing.logKey(origin, row.epoch);
      if (row.type !== ED25519 || formatVkey(signer.key) !== row.vkey) {
        throw mismatch(
          origin,
          `its keys come from seed ${row.seedId}, this server has seed ${signing.seedId}`,
        );
      }
      if (row.lastSize === undefined) signers.push(signer);
    }
    const keys = new LogKeys(origin, signing, rows, signers);
    for (const { epoch } of rows) keys.#macs.set(epoch, await signing.headMac(origin, epoch));
    return keys;
  }

  /** Ed25519 log keys as `GetLog` lists them. */
  get rows(): readonly LogKeyRow[] {
    return this.#rows;
  }

  get seedId(): string {
    return this.#signing.seedId;
  }

  sign(noteText: string): Promise<readonly SignatureLine[]> {
    return Promise.all(this.#signers.map((signer) => signer.sign(noteText)));
  }

  /** @throws NoteError where no key of this log, or not with a good signature, has signed */
  verify(note: string): void {
    verifyNote(note, this.#verifiers, { verifyEd25519: verifyEd25519Natively });
  }

  /** The mac of a new head, under the newest epoch's key. */
  mac(head: Omit<Head, 'mac' | 'epoch'>): Uint8Array {
    return this.#macOf(this.epoch).compute(messageOf(this.#origin, head));
  }

  /** Whether a stored head was made by a holder of the seed. */
  hasGoodMac(head: Head): boolean {
    return (
      this.#macs.has(head.epoch) && this.#macOf(head.epoch).verify(messageOf(this.#origin, head), head.mac)
    );
  }

  #macOf(epoch: number): HeadMac {
    const mac = this.#macs.get(epoch);
    if (mac === undefined) throw new Error(`no mac key of epoch ${epoch}`);
    return mac;
  }
}

/** Whether two heads are the same (size, root). */
export function sameHead(a: Pick<Head, 'size' | 'root'>, b: Pick<Head, 'size' | 'root'>): boolean {
  return a.size === b.size && equalHashes(a.root, b.root);
}

function messageOf(
  origin: string,
  { size, root, prevSize, prevRoot }: Omit<Head, 'mac' | 'epoch'>,
): Uint8Array {
  return prevSize === undefined || prevRoot === undefined
    ? headMacMessage({ origin, size, root })
    : headMacMessage({ origin, size, root, prev: { size: prevSize, root: prevRoot } });
}

function mismatch(origin: string, why: string): NotaryError {
  return new NotaryError(
    'SIGNING_KEY_MISMATCH',
    `this server cannot serve ${origin}: ${why}; give it the seed that made the cluster`,
  );
}
