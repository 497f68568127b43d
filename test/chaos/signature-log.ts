import { writeSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

const PREFIX = 'signatures-';

export interface SignatureLine {
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly pid: number;
  readonly noteText: string;
}

export function signaturesFile(directory: string, server: number): string {
  return join(directory, `${PREFIX}${server}.jsonl`);
}

/** Returns when the kernel has it: killing the process cannot take it back. */
export function writeSignature(file: number, noteText: string): void {
  const line: SignatureLine = { at: Date.now(), pid: process.pid, noteText };
  writeSync(file, `${JSON.stringify(line)}\n`);
}

/** Of all servers. */
export async function readSignatures(directory: string): Promise<readonly SignatureLine[]> {
  const names = (await readdir(directory)).filter((name) => name.startsWith(PREFIX));
  const texts = await Promise.all(names.map((name) => readFile(join(directory, name), 'utf8')));
  return texts.flatMap(parseLines<SignatureLine>);
}

export function parseLines<Line>(text: string): Line[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line);
}
