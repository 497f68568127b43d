#!/usr/bin/env node
// Runs the sources where they are (a checkout), else the compiled package (an installation): Node strips types
// everywhere except below node_modules.
import { existsSync } from 'node:fs';

// The package's `engines` is that of the client library and the verifier; what has a server in it is tested from 24 on.
const major = Number(process.versions.node.split('.')[0]);
if (major < 24) {
  process.stderr.write(`quartermaster needs Node.js 24 or newer, this is ${process.version}\n`);
  process.exit(2);
}
const source = new URL('../src/cli/main.ts', import.meta.url);
await import(existsSync(source) ? source.href : new URL('../dist/cli/main.js', import.meta.url).href);
