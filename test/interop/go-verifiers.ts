import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { goBuild } from './go-build.ts';

export interface Head {
  readonly origin: string;
  readonly size: number;
  readonly root: Uint8Array;
}

/** What each of the implementations that were asked has read, or why it refuses. */
export type Verdicts = ReadonlyMap<string, { readonly refused: string; readonly head?: Head }>;

export interface InclusionQuestion {
  readonly entry: Uint8Array;
  readonly index: number;
  readonly size: number;
  readonly path: readonly Uint8Array[];
  readonly root: Uint8Array;
}

export interface ConsistencyQuestion {
  readonly first: number;
  readonly second: number;
  readonly firstRoot: Uint8Array;
  readonly secondRoot: Uint8Array;
  readonly path: readonly Uint8Array[];
}

interface VerdictInJson {
  readonly refused: string;
  readonly head?: { readonly origin: string; readonly size: number; readonly root: string };
}

/** The program in `go/`, which does nothing but ask other people's verifiers. Raw bytes go in; it trusts nothing of ours. */
export class GoVerifiers {
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #waiting: { resolve(line: string): void; reject(error: Error): void }[] = [];
  readonly #ended: Promise<void>;
  #complaint = '';

  private constructor(program: string) {
    this.#child = spawn(program, { stdio: ['pipe', 'pipe', 'pipe'] });
    createInterface(this.#child.stdout).on('line', (line) => this.#waiting.shift()?.resolve(line));
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#complaint += text;
    });
    // A write to a program that has ended is told by its end.
    this.#child.stdin.on('error', () => {});
    this.#ended = new Promise((resolve) => {
      this.#child.once('close', (code) => {
        const error = new Error(`the Go program ended with ${code}: ${this.#complaint}`);
        for (const { reject } of this.#waiting.splice(0)) reject(error);
        resolve();
      });
    });
  }

  static async start(): Promise<GoVerifiers> {
    return new GoVerifiers(join(await goBuild('go', '.'), 'interop'));
  }

  async stop(): Promise<void> {
    this.#child.stdin.end();
    await this.#ended;
  }

  /** Opens a checkpoint under one pinned key. */
  async checkpoint(note: string | Uint8Array, vkey: string): Promise<Verdicts> {
    return this.#verdicts('checkpoint', { note: Buffer.from(note), vkey });
  }

  async inclusion(question: InclusionQuestion): Promise<Verdicts> {
    return this.#verdicts('inclusion', question);
  }

  async consistency(question: ConsistencyQuestion): Promise<Verdicts> {
    return this.#verdicts('consistency', question);
  }

  /** The log half of a `.tlog-proof` and, where the leaf is given, the other half too. */
  async proofFile(file: Uint8Array, vkey: string, leaf: Uint8Array = new Uint8Array()): Promise<Verdicts> {
    return this.#verdicts('proof file', { file, vkey, leaf });
  }

  /** The root of every beginning of the entries, the empty one first, as each implementation computes it. */
  async roots(entries: readonly Uint8Array[]): Promise<ReadonlyMap<string, readonly string[]>> {
    const answer = await this.#ask<Record<string, readonly string[]>>('roots', { entries });
    return new Map(
      Object.entries(answer).map(([by, roots]) => [by, roots.map((root) => hex(decodeBase64(root)))]),
    );
  }

  /** Adds signatures of three kinds, by keys that nobody has pinned. */
  async cosign(note: string, vkey: string): Promise<{ note: string; vkeys: readonly string[] }> {
    const answer = await this.#ask<{ note: string; vkeys: readonly string[] }>('cosign', {
      note: Buffer.from(note),
      vkey,
    });
    return { note: Buffer.from(answer.note, 'base64').toString(), vkeys: answer.vkeys };
  }

  async #verdicts(check: string, question: object): Promise<Verdicts> {
    const answer = await this.#ask<Record<string, VerdictInJson>>(check, question);
    return new Map(
      Object.entries(answer).map(([by, { refused, head }]) => [
        by,
        head === undefined
          ? { refused }
          : { refused, head: { ...head, root: new Uint8Array(decodeBase64(head.root)) } },
      ]),
    );
  }

  async #ask<Answer>(check: string, question: object): Promise<Answer> {
    const line = await new Promise<string>((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#child.stdin.write(`${JSON.stringify({ check, with: question }, bytesAsBase64)}\n`);
    });
    return JSON.parse(line) as Answer;
  }
}

/** @returns whether they accept @throws where one accepts what another refuses */
export function unanimous(verdicts: Verdicts): boolean {
  const refusals = [...verdicts.values()].filter(({ refused }) => refused !== '').length;
  if (verdicts.size > 0 && (refusals === 0 || refusals === verdicts.size)) return refusals === 0;
  throw new Error(`the implementations do not agree: ${JSON.stringify([...verdicts])}`);
}

/** A Buffer has become an object by its own toJSON when a replacer sees it. */
function bytesAsBase64(this: unknown, key: string, value: unknown): unknown {
  const original = (this as Readonly<Record<string, unknown>>)[key];
  return original instanceof Uint8Array ? Buffer.from(original).toString('base64') : value;
}

function decodeBase64(text: string): Buffer {
  return Buffer.from(text, 'base64');
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
