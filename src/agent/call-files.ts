// The spool on disk: a file for each call, in a directory for each cluster. A file is there whole or not at all, so that
// nothing has to be repaired after a crash, and what is done with is deleted without moving anything else.

import { open, readdir, readFile, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { GatewayLogger } from '../gateway/logger.ts';
import type { Refusal } from '../gateway/outbox.ts';
import { DRAFT, makeDirectory, moveDurably, writeDurably } from './durable-files.ts';
import { AgentError } from './error.ts';
import {
  type CallHeader,
  decodeCall,
  decodeHeader,
  encodeHeader,
  MAX_HEADER_BYTES,
  type SpooledCall,
} from './spooled-call.ts';

/** A call on disk, and what of it is kept in memory. */
export interface StoredCall {
  readonly header: Omit<CallHeader, 'knownCheckpoint'>;
  /** Its place among those of its cluster: later ones are higher. */
  readonly sequence: number;
  readonly path: string;
}

const CALL = '.call';
const REFUSAL = '.refusal.json';

export class CallFiles {
  readonly root: string;
  readonly #log: GatewayLogger;

  constructor(root: string, log: GatewayLogger) {
    this.root = root;
    this.#log = log;
  }

  /** Makes the directories that are missing. @returns the calls, by cluster and sequence */
  async open(): Promise<StoredCall[]> {
    for (const name of ['calls', 'dead', 'revived', 'damaged']) await makeDirectory(join(this.root, name));
    const found: StoredCall[] = [];
    for (const cluster of (await readdir(join(this.root, 'calls'))).sort()) {
      const directory = join(this.root, 'calls', cluster);
      for (const name of (await readdir(directory)).sort()) {
        const path = join(directory, name);
        if (name.endsWith(DRAFT)) await rm(path, { force: true });
        const call = name.endsWith(CALL) ? await this.#readStored(path) : undefined;
        if (call !== undefined) found.push(call);
      }
    }
    return found;
  }

  /** Resolves once it is on disk. */
  async put(header: CallHeader, sequence: number, packedLeaves: Uint8Array): Promise<StoredCall> {
    const directory = join(this.root, 'calls', header.clusterId);
    await makeDirectory(directory);
    const path = join(directory, `${String(sequence).padStart(16, '0')}-${header.requestId}${CALL}`);
    await writeDurably(path, [encodeHeader(header), packedLeaves]);
    return stored(header, sequence, path);
  }

  /** @throws {AgentError} SPOOL_DAMAGED, SPOOL_FAILED */
  async read({ path }: StoredCall): Promise<SpooledCall> {
    let bytes: Buffer;
    try {
      bytes = await readFile(path);
    } catch (cause) {
      throw new AgentError('SPOOL_FAILED', `${path} cannot be read`, { cause });
    }
    const { header, packedLeaves } = decodeCall(bytes);
    return { ...header, packedLeaves };
  }

  /** Not waited for on disk: a call that comes back after a crash is sent again, and finds its anchor. */
  async remove({ path }: StoredCall): Promise<void> {
    await rm(path, { force: true });
  }

  /** Keeps a file that cannot be used any more, for a person. @returns where */
  async setAside(path: string): Promise<string> {
    const aside = join(this.root, 'damaged', nameIn(path));
    await moveDurably(path, aside);
    return aside;
  }

  /** Puts a call that was refused for good where `quartermaster agent dead-letters` finds it. */
  async bury({ path, header }: StoredCall, refusal: Refusal, buriedAtMs: number): Promise<void> {
    const place = join(this.root, 'dead', `${header.clusterId}.${basename(path, CALL)}`);
    await writeDurably(`${place}${REFUSAL}`, [
      Buffer.from(`${JSON.stringify({ ...refusal, buriedAtMs })}\n`),
    ]);
    await moveDurably(path, `${place}${CALL}`);
  }

  /** Calls that somebody took out of the dead letters. */
  async *revived(): AsyncGenerator<StoredCall> {
    const directory = join(this.root, 'revived');
    for (const name of (await readdir(directory)).sort()) {
      const call = name.endsWith(CALL) ? await this.#readStored(join(directory, name)) : undefined;
      if (call !== undefined) yield call;
    }
  }

  async #readStored(path: string): Promise<StoredCall | undefined> {
    try {
      return stored(await readHeader(path), sequenceOf(path), path);
    } catch (error) {
      if (!(error instanceof AgentError) || error.code !== 'SPOOL_DAMAGED') throw error;
      const aside = await this.setAside(path);
      this.#log.error({ file: aside, err: error }, 'a call in the spool is damaged and was put aside');
      return undefined;
    }
  }
}

/** A call that the notary refused for good and that nobody waited for. */
export interface DeadCall {
  readonly header: CallHeader;
  readonly refusal: Refusal;
  readonly buriedAtMs: number;
  readonly path: string;
}

/** The dead letters of a spool, oldest first; another process may use the spool meanwhile. */
export async function deadCalls(root: string): Promise<DeadCall[]> {
  const directory = join(root, 'dead');
  const found: DeadCall[] = [];
  for (const name of await readdir(directory)) {
    if (!name.endsWith(CALL)) continue;
    const path = join(directory, name);
    const told = await readFile(`${path.slice(0, -CALL.length)}${REFUSAL}`, 'utf8');
    const { buriedAtMs, ...refusal } = JSON.parse(told) as Refusal & { readonly buriedAtMs: number };
    found.push({ header: await readHeader(path), refusal, buriedAtMs, path });
  }
  return found.sort((a, b) => a.buriedAtMs - b.buriedAtMs || (a.path < b.path ? -1 : 1));
}

/** Puts a dead letter where a running agent finds it within seconds, and the next one at its start. */
export async function reviveCall(root: string, { path }: DeadCall): Promise<void> {
  await moveDurably(path, join(root, 'revived', basename(path)));
  await rm(`${path.slice(0, -CALL.length)}${REFUSAL}`, { force: true });
}

/** Checkpoints stay on disk: there may be as many as calls. */
function stored({ knownCheckpoint, ...header }: CallHeader, sequence: number, path: string): StoredCall {
  return { header, sequence, path };
}

async function readHeader(path: string): Promise<CallHeader> {
  const file = await open(path, 'r');
  try {
    const beginning = Buffer.alloc(MAX_HEADER_BYTES);
    const { bytesRead } = await file.read(beginning, 0, MAX_HEADER_BYTES, 0);
    return decodeHeader(beginning.subarray(0, bytesRead)).header;
  } finally {
    await file.close();
  }
}

function sequenceOf(path: string): number {
  return Number(/(\d{16})-[^/]*$/.exec(path)?.[1] ?? 0);
}

/** `<cluster>.<sequence>-<request id>.call`, whichever directory it is in. */
function nameIn(path: string): string {
  const name = basename(path);
  return basename(dirname(dirname(path))) === 'calls' ? `${basename(dirname(path))}.${name}` : name;
}
