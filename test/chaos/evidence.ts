import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type pg from 'pg';
import type { CallLine } from './call-log.ts';
import { parseLines, readSignatures, type SignatureLine } from './signature-log.ts';

/** All that there is to judge a run by: what clients wrote down, what was signed, what the database holds, what fsck says. */
export interface Evidence {
  readonly calls: readonly CallLine[];
  readonly signatures: readonly SignatureLine[];
  readonly clusters: readonly StoredCluster[];
  readonly fsck: { readonly ok: boolean; readonly output: string };
}

export interface StoredCluster {
  readonly clusterId: string;
  readonly origin: string;
  readonly state: string;
  /** By size. Roots are hex. */
  readonly heads: readonly { readonly size: number; readonly root: string }[];
  /** By log_index. */
  readonly entries: readonly StoredEntry[];
}

export interface StoredEntry {
  readonly logIndex: number;
  readonly anchorId: string;
  readonly requestId: string | null;
  /** hex */
  readonly root: string;
  /** base64 */
  readonly record: string;
}

export const CALLS_FILE = 'calls.jsonl';
const PROGRAM = join(import.meta.dirname, '../../bin/quartermaster.js');

export interface EvidenceSources {
  /** Of the logs. */
  readonly directory: string;
  /** Reads tables with it, by statements of its own. */
  readonly client: pg.Client;
  readonly databaseUrl: string;
  readonly seed: Uint8Array;
}

export async function gatherEvidence(sources: EvidenceSources): Promise<Evidence> {
  const { directory, client, databaseUrl, seed } = sources;
  return {
    calls: parseLines<CallLine>(await readFile(join(directory, CALLS_FILE), 'utf8')),
    signatures: await readSignatures(directory),
    clusters: await readClusters(client),
    fsck: await runFsck(databaseUrl, seed),
  };
}

async function readClusters(client: pg.Client): Promise<StoredCluster[]> {
  const { rows: clusters } = await client.query<{ clusterId: string; origin: string; state: string }>(
    'SELECT cluster_id AS "clusterId", origin, state FROM clusters ORDER BY cluster_id',
  );
  const stored: StoredCluster[] = [];
  for (const cluster of clusters) {
    const heads = await client.query<StoredCluster['heads'][number]>(
      `SELECT size::float8 AS size, encode(root, 'hex') AS root FROM heads WHERE cluster_id = $1 ORDER BY size`,
      [cluster.clusterId],
    );
    const entries = await client.query<StoredEntry>(
      `SELECT log_index::float8 AS "logIndex", anchor_id AS "anchorId", request_id AS "requestId",
         encode(root, 'hex') AS root, translate(encode(record, 'base64'), E'\\n', '') AS record
       FROM anchors WHERE cluster_id = $1 ORDER BY log_index`,
      [cluster.clusterId],
    );
    stored.push({ ...cluster, heads: heads.rows, entries: entries.rows });
  }
  return stored;
}

/** The product's own judgement, by the program that an operator runs. */
function runFsck(databaseUrl: string, seed: Uint8Array): Promise<Evidence['fsck']> {
  const env = {
    PATH: process.env.PATH ?? '',
    QUARTERMASTER_DATABASE_URL: databaseUrl,
    QUARTERMASTER_SEED: Buffer.from(seed).toString('hex'),
  };
  return new Promise((resolve) => {
    execFile(process.execPath, [PROGRAM, 'fsck', '--json'], { env }, (error, stdout, stderr) =>
      resolve({ ok: error === null, output: `${stdout}${stderr}`.trim() }),
    );
  });
}
