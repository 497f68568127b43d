import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, test } from '@jest/globals';

/** From the top down; each may import itself and what is below it. */
const LAYERS = [
  'cli',
  'agent',
  'server',
  'postgres',
  'notary',
  'gateway',
  'native',
  'verify',
  'record',
  'note',
  'merkle',
] as const;
/** Glue between generated code and grpc-js: knows no layer, and only the edges may use it. */
const RPC = 'rpc';
const RPC_USERS = new Set(['agent', 'cli', 'gateway', 'server', RPC]);
/** Which process holds what: knows no layer, and only what owns files may use it. */
const EXCLUSIVE = 'exclusive';
const EXCLUSIVE_USERS = new Set(['cli', 'gateway', EXCLUSIVE]);
/** Runs in browsers: no Node.js modules, no Node.js globals. */
const PURE = new Set(['verify', 'record', 'note', 'merkle']);
const PURE_PACKAGES = /^(@noble\/|canonicalize$)/;

const root = resolve(import.meta.dirname, '../..');
const source = join(root, 'src');

interface Import {
  readonly file: string;
  readonly layer: string;
  readonly specifier: string;
}

/** Examples in comments import the package as its users do. */
function codeOf(file: string): string {
  return readFileSync(file, 'utf8').replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, '');
}

function specifiersOf(file: string): string[] {
  return [...codeOf(file).matchAll(/\b(?:from|import)\s*\(?\s*'([^']+)'/g)].map((match) => match[1] ?? '');
}

function importsOf(file: string): Import[] {
  const path = relative(source, file);
  return specifiersOf(file).map((specifier) => ({ file: path, layer: path.split('/')[0] ?? '', specifier }));
}

function targetLayer({ file, specifier }: Import): string | undefined {
  if (!specifier.startsWith('.')) return undefined;
  return relative(source, resolve(source, dirname(file), specifier)).split('/')[0];
}

function isUpwards(found: Import): boolean {
  const target = targetLayer(found);
  if (target === undefined || target === found.layer) return false;
  if (target === RPC) return !RPC_USERS.has(found.layer);
  if (target === EXCLUSIVE) return !EXCLUSIVE_USERS.has(found.layer);
  if (found.layer === RPC || found.layer === EXCLUSIVE) return true;
  const from = LAYERS.indexOf(found.layer as (typeof LAYERS)[number]);
  const to = LAYERS.indexOf(target as (typeof LAYERS)[number]);
  return from === -1 || to === -1 || to < from;
}

function sourcesBelow(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(directory, name));
}

function manifestOf(directory: string): Readonly<Record<'exports' | 'dependencies', object | undefined>> {
  return JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8'));
}

const files = sourcesBelow(source);
const imports = files.flatMap(importsOf);

describe('the layers', () => {
  test('are all there, and nothing else is', () => {
    expect(readdirSync(source).sort()).toEqual([...LAYERS, RPC, EXCLUSIVE].sort());
  });

  test('import only downwards', () => {
    expect(imports.length).toBeGreaterThan(100);
    expect(imports.filter(isUpwards)).toEqual([]);
  });

  test('an import that goes up would be seen', () => {
    expect(isUpwards({ file: 'merkle/hash.ts', layer: 'merkle', specifier: '../note/note.ts' })).toBe(true);
    expect(isUpwards({ file: 'notary/fsck.ts', layer: 'notary', specifier: '../postgres/storage.ts' })).toBe(
      true,
    );
    expect(isUpwards({ file: 'notary/fsck.ts', layer: 'notary', specifier: '../rpc/client.ts' })).toBe(true);
    expect(
      isUpwards({ file: 'notary/fsck.ts', layer: 'notary', specifier: '../exclusive/lock-file.ts' }),
    ).toBe(true);
    expect(isUpwards({ file: 'note/keys.ts', layer: 'note', specifier: '../merkle/index.ts' })).toBe(false);
  });

  test('the gateway client is linked by programs that run no notary, and no notary links it', () => {
    const ofServer = imports.filter(({ layer }) => ['server', 'postgres', 'notary'].includes(layer));
    expect(ofServer.filter((found) => targetLayer(found) === 'gateway')).toEqual([]);
    const ofGateway = imports.filter(({ layer }) => layer === 'gateway');
    expect(ofGateway.length).toBeGreaterThan(10);
    expect(
      ofGateway.filter((found) => /^(server|postgres|notary|cli)$/.test(targetLayer(found) ?? '')),
    ).toEqual([]);
  });

  test('the agent has the edge of a server and the client of a gateway, and no notary', () => {
    const ofAgent = imports.filter(({ layer }) => layer === 'agent');
    expect(ofAgent.length).toBeGreaterThan(10);
    expect(ofAgent.filter((found) => /^(postgres|notary|cli)$/.test(targetLayer(found) ?? ''))).toEqual([]);
  });

  test('the domain knows neither the wire nor the database driver', () => {
    const domain = imports.filter(({ layer }) => layer === 'notary');
    expect(
      domain.filter(({ specifier }) => /^(@grpc\/|@bufbuild\/|pg$|kysely$|#gen\/|pino$)/.test(specifier)),
    ).toEqual([]);
  });

  test('the pure ones need nothing that a browser lacks', () => {
    const pure = imports.filter(({ layer }) => PURE.has(layer));
    expect(pure.length).toBeGreaterThan(20);
    expect(
      pure.filter(({ specifier }) => !specifier.startsWith('.') && !PURE_PACKAGES.test(specifier)),
    ).toEqual([]);
    const pureFiles = files.filter((file) => PURE.has(relative(source, file).split('/')[0] ?? ''));
    const withGlobals = pureFiles.filter((file) =>
      /\b(Buffer|process|setImmediate|Date\.now|Math\.random)\b/.test(codeOf(file)),
    );
    expect(withGlobals).toEqual([]);
  });

  // Red when one imports `../../../src/`, or a package that its own package.json does not have.
  test('the examples link the package as strangers do: by its public entries, with nothing that is not in their package.json', () => {
    const entries = Object.keys(manifestOf(root).exports ?? {}).map((entry) =>
      entry.replace('.', 'quartermaster'),
    );
    const seen = ['gateway', 'verify'].flatMap((example) => {
      const directory = join(root, 'examples', example);
      const others = Object.keys(manifestOf(directory).dependencies ?? {});
      const packages = [...entries, ...others.filter((name) => name !== 'quartermaster')];
      return sourcesBelow(join(directory, 'src')).flatMap((file) =>
        specifiersOf(file).map((specifier) => {
          const isOwn = resolve(dirname(file), specifier).startsWith(join(directory, 'src/'));
          const isFine = specifier.startsWith('.')
            ? isOwn
            : /^node:/.test(specifier) || packages.includes(specifier);
          return { file: relative(root, file), specifier, isFine };
        }),
      );
    });
    expect(seen.filter(({ specifier }) => specifier.startsWith('quartermaster/')).length).toBeGreaterThan(5);
    expect(seen.filter(({ isFine }) => !isFine)).toEqual([]);
  });
});
