import { execFile } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { go } from './go-build.ts';

/** One question that the tests of github.com/transparency-dev/merkle ask of its verifiers, and the answer that they insist on. */
export type Vector = InclusionVector | ConsistencyVector;

export interface InclusionVector {
  readonly verifier: 'inclusion';
  readonly accepted: boolean;
  readonly index: number;
  readonly size: number;
  readonly leafHash: Uint8Array;
  readonly path: readonly Uint8Array[];
  readonly root: Uint8Array;
}

export interface ConsistencyVector {
  readonly verifier: 'consistency';
  readonly accepted: boolean;
  readonly firstSize: number;
  readonly secondSize: number;
  readonly firstRoot: Uint8Array;
  readonly secondRoot: Uint8Array;
  readonly path: readonly Uint8Array[];
}

const MODULE = 'github.com/transparency-dev/merkle';

/**
 * Runs the module's own tests on a copy of it whose two verifiers write down every call: good proofs, and those that
 * the tests forge from them. So the vectors are the module's, whatever its version, and none is copied here.
 *
 * @throws where one of those tests fails
 */
export async function vectorsOfMerkleModule(): Promise<Vector[]> {
  const directory = await mkdtemp(join(tmpdir(), 'quartermaster-merkle-'));
  try {
    await go('go', ['mod', 'download', MODULE]);
    const source = (await go('go', ['list', '-m', '-f', '{{.Dir}}', MODULE])).trim();
    const copy = join(directory, 'merkle');
    // The module cache is read-only, and a copy would stay so.
    await promisify(execFile)('cp', ['--recursive', '--no-preserve=mode', source, copy]);
    const verifiers = join(copy, 'proof/verify.go');
    const text = await readFile(verifiers, 'utf8');
    await writeFile(verifiers, aside(aside(text, 'VerifyInclusion'), 'VerifyConsistency'));
    await cp(join(import.meta.dirname, 'go/testdata/recorder.go'), join(copy, 'proof/recorder.go'));
    const calls = join(directory, 'calls');
    await go(copy, ['test', '-mod=readonly', '-count=1', './proof', './testonly'], {
      RECORDED_CALLS: calls,
    });
    const lines = (await readFile(calls, 'utf8')).trimEnd().split('\n');
    return lines.map((line) => readVector(JSON.parse(line) as RecordedCall));
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** Gives a function another name, so that the recorder can take its place. */
function aside(source: string, name: string): string {
  const [before, after, ...more] = source.split(`\nfunc ${name}(`);
  if (before === undefined || after === undefined || more.length > 0)
    throw new Error(`the module's verify.go does not declare ${name} once`);
  return `${before}\nfunc ${name[0]!.toLowerCase()}${name.slice(1)}(${after}`;
}

interface RecordedCall extends Readonly<Record<string, unknown>> {
  readonly verifier: 'inclusion' | 'consistency';
  readonly accepted: boolean;
}

const SIZES = ['index', 'size', 'firstSize', 'secondSize'];

/** Numbers are decimal strings, bytes are base64; Go's nil slices are null. */
function readVector(call: RecordedCall): Vector {
  const fields = Object.entries(call).map(([name, value]): [string, unknown] => {
    if (name === 'verifier' || name === 'accepted') return [name, value];
    if (name === 'path') return [name, ((value ?? []) as (string | null)[]).map(readBytes)];
    // 2^64-1, the module's index before the first, becomes 2^64: a size that is as impossible.
    return SIZES.includes(name) ? [name, Number(value)] : [name, readBytes(value as string | null)];
  });
  return Object.fromEntries(fields) as unknown as Vector;
}

function readBytes(base64: string | null): Uint8Array {
  return new Uint8Array(Buffer.from(base64 ?? '', 'base64'));
}
