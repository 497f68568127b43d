import { sql } from 'kysely';
import {
  type Cluster,
  type CreateClusterOutcome,
  type LogKeyRow,
  type NewCluster,
  type StateChange,
  StorageError,
} from '../notary/storage.ts';
import { packAppend, sendAppend } from './append.ts';
import type { Connection } from './connection-pool.ts';
import { selectClusters, toCluster, toKey } from './rows.ts';
import { queries } from './schema.ts';

export async function readCluster(connection: Connection, clusterId: string): Promise<Cluster | undefined> {
  return (await connection.run(selectClusters().where('cluster_id', '=', clusterId))).map(toCluster)[0];
}

export async function listClusters(
  connection: Connection,
  afterClusterId: string | undefined,
  limit: number,
): Promise<readonly Cluster[]> {
  const all = selectClusters().orderBy('cluster_id').limit(limit);
  const query = afterClusterId === undefined ? all : all.where('cluster_id', '>', afterClusterId);
  return (await connection.run(query)).map(toCluster);
}

export async function readKeys(connection: Connection, clusterId: string): Promise<readonly LogKeyRow[]> {
  const query = queries
    .selectFrom('log_keys')
    .select(['epoch', 'type', 'vkey', 'seed_id', 'first_size', 'last_size'])
    .where('cluster_id', '=', clusterId)
    .orderBy('epoch')
    .orderBy('type');
  return (await connection.run(query)).map(toKey);
}

/**
 * One guarded UPDATE: it waits for the appends in flight, which hold the row FOR SHARE, and then looks at the row as it is.
 */
export async function changeState(connection: Connection, change: StateChange): Promise<Cluster | undefined> {
  const { clusterId, from, to, reason, expectedVersion, confirmedSize } = change;
  const guarded = queries
    .updateTable('clusters')
    .set({
      state: to,
      state_reason: reason,
      state_version: sql`state_version + 1`,
      // Of the row as it was.
      frozen_reason: to === 'recovering' ? sql`CASE WHEN state = 'frozen' THEN state_reason END` : null,
    })
    .$if(confirmedSize !== undefined, (query) => query.set({ confirmed_size: confirmedSize ?? null }))
    .where('cluster_id', '=', clusterId)
    .where('state', 'in', [...from])
    .$if(expectedVersion !== undefined, (query) =>
      query.where('state_version', '=', expectedVersion as number),
    )
    .returning('cluster_id');
  if (from.length === 0) return undefined;
  const [changed] = await connection.run(guarded);
  return changed && (await readCluster(connection, clusterId));
}

/** Runs inside a transaction; where the outcome is not `created` the caller rolls it back. */
export async function insertCluster(
  connection: Connection,
  created: NewCluster,
): Promise<CreateClusterOutcome> {
  const { cluster, genesis, keys, first, giveUp } = created;
  // First, since it waits for a twin of this call, which must then be found rather than collide over the predecessor.
  const inserted = await connection.run(
    queries
      .insertInto('clusters')
      .values({
        cluster_id: cluster.clusterId,
        display_name: cluster.displayName,
        origin: cluster.origin,
        request_id: cluster.requestId ?? null,
        predecessor_id: cluster.predecessorId ?? null,
        created_at: sql<Date>`to_timestamp(${cluster.createdAtMs}::float8 / 1000)`,
      })
      .onConflict((conflict) => conflict.doNothing())
      .returning('cluster_id'),
  );
  if (inserted.length === 0) return await findTwin(connection, cluster.requestId);
  if (
    cluster.predecessorId !== undefined &&
    !(await succeed(connection, cluster.predecessorId, cluster.clusterId, giveUp))
  ) {
    return { kind: 'predecessorRefused' };
  }
  await connection.run(
    queries.insertInto('heads').values({
      cluster_id: cluster.clusterId,
      size: genesis.size,
      prev_size: genesis.prevSize ?? null,
      epoch: genesis.epoch,
      root: genesis.root,
      mac: genesis.mac,
    }),
  );
  if (keys.length > 0) await connection.run(insertKeys(cluster.clusterId, keys));
  if (first !== undefined) {
    const outcome = await sendAppend(connection, packAppend(first));
    if (outcome.kind !== 'appended') {
      throw new StorageError(
        'INTERNAL',
        `the first entry of cluster ${cluster.clusterId} does not fit its genesis`,
      );
    }
  }
  const stored = await readCluster(connection, cluster.clusterId);
  if (stored === undefined) throw new StorageError('INTERNAL', 'an inserted cluster is not there');
  return { kind: 'created', cluster: stored };
}

async function findTwin(
  connection: Connection,
  requestId: string | undefined,
): Promise<CreateClusterOutcome> {
  if (requestId === undefined) return { kind: 'exists' };
  const [row] = await connection.run(selectClusters().where('request_id', '=', requestId));
  return row === undefined ? { kind: 'exists' } : { kind: 'replayed', cluster: toCluster(row) };
}

/** A sealed cluster gets one successor, for ever; one that is given up is sealed with it. */
async function succeed(
  connection: Connection,
  predecessorId: string,
  successorId: string,
  giveUp: NewCluster['giveUp'],
): Promise<boolean> {
  const update = queries
    .updateTable('clusters')
    .set({ successor_id: successorId })
    .where('cluster_id', '=', predecessorId)
    .where('successor_id', 'is', null)
    .returning('cluster_id');
  const guarded =
    giveUp === undefined
      ? update.where('state', '=', 'sealed')
      : update
          .set({
            state: 'sealed',
            state_reason: giveUp.reason,
            state_version: sql`state_version + 1`,
            frozen_reason: null,
          })
          .where('state', '=', 'recovering')
          .where('state_version', '=', giveUp.expectedVersion);
  return (await connection.run(guarded)).length === 1;
}

const insertKeys = (clusterId: string, keys: readonly LogKeyRow[]) =>
  queries.insertInto('log_keys').values(
    keys.map((key) => ({
      cluster_id: clusterId,
      epoch: key.epoch,
      type: key.type,
      vkey: key.vkey,
      seed_id: key.seedId,
      first_size: key.firstSize,
      last_size: key.lastSize ?? null,
    })),
  );
