// Inputs that once failed, one a file: text as a JSON string (which also holds what UTF-8 cannot), bytes as hex.

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Input } from './target.ts';

const CORPUS = join(import.meta.dirname, 'corpus');

export function readCorpus(target: string): readonly { readonly file: string; readonly input: Input }[] {
  const directory = join(CORPUS, target);
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .sort()
    .map((file) => {
      const text = readFileSync(join(directory, file), 'utf8');
      return { file, input: file.endsWith('.hex') ? bytesOf(text.trim()) : String(JSON.parse(text)) };
    });
}

/** @returns the name of the file */
export function keepInput(target: string, input: Input): string {
  const directory = join(CORPUS, target);
  mkdirSync(directory, { recursive: true });
  const text = showInput(input);
  const name = createHash('sha256').update(text).digest('hex').slice(0, 12);
  const file = join(directory, `${name}.${typeof input === 'string' ? 'json' : 'hex'}`);
  writeFileSync(file, `${text}\n`);
  return file;
}

/** As it stands in the corpus. */
export function showInput(input: Input): string {
  return typeof input === 'string' ? JSON.stringify(input) : Buffer.from(input).toString('hex');
}

function bytesOf(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex, 'hex'));
}
