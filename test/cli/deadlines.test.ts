// A server that accepts a call and never answers must not keep a command for ever. Seen red with the calls of `cluster` and of
// `key show` as they were first written, without a deadline.

import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { CLUSTER } from './memory-notary.ts';
import { quartermaster } from './run-quartermaster.ts';
import { temporaryDirectory } from './temporary-directory.ts';

const directory = temporaryDirectory();
const log = join(directory, 'app.log');
writeFileSync(log, 'a\n');
const manifest = join(directory, 'manifest');
const HEX = 'a'.repeat(64);
writeFileSync(
  manifest,
  [
    { type: 'quartermaster.dev/manifest@v1', cluster_id: CLUSTER, file: 'app.log' },
    { type: 'keys', vkeys: [], pinned: false },
    {
      ...{ type: 'batch', request_id: CLUSTER, first_line: 1, last_line: 1 },
      ...{ first_offset: 0, end_offset: 2, leaves_sha256: HEX },
    },
    { line: 1, leaf: HEX, anchor_id: CLUSTER, leaf_index: 0 },
    { type: 'anchored', request_id: CLUSTER, anchor_id: CLUSTER, log_index: 0, checkpoint: '' },
  ]
    .map((entry) => `${JSON.stringify(entry)}\n`)
    .join(''),
);

/** Refuses every call, and remembers what deadline it had. */
const server = createServer();
const deadlines: unknown[] = [];
server.on('stream', (stream, headers) => {
  deadlines.push(headers['grpc-timeout']);
  stream.respond(
    { ':status': 200, 'content-type': 'application/grpc', 'grpc-status': '5' },
    { endStream: true },
  );
});
beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterAll(async () => {
  await new Promise((resolve) => server.close(resolve));
});

test.each([
  ['cluster', 'create', '--name', 'x'],
  ['cluster', 'list'],
  ['cluster', 'freeze', '--cluster', CLUSTER, '--reason', 'x'],
  ['cluster', 'thaw', '--cluster', CLUSTER, '--reason', 'x'],
  ['key', 'show', '--cluster', CLUSTER],
  ['anchor', '--cluster', CLUSTER, '--lines', log],
  ['prove', '--manifest', manifest, '--line', '1', '--out', join(directory, 'out')],
])('%s %s calls with a deadline', async (...argv) => {
  deadlines.length = 0;
  const { port } = server.address() as AddressInfo;
  const { err } = await quartermaster([...argv, '--endpoint', `127.0.0.1:${port}`]);
  expect(err).toContain('the notary answered NOT_FOUND');
  expect(deadlines).toEqual([expect.stringMatching(/^\d+m$/)]);
});
