import {
  DummyDriver,
  type Generated,
  Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
} from 'kysely';
import type { ClusterState } from '../notary/storage.ts';

/** The tables of `migrations/`, as the driver gives them (see `result-types.ts`). Times are read through `createdAtMs`. */
export interface Database {
  readonly clusters: ClustersTable;
  readonly heads: HeadsTable;
  readonly anchors: AnchorsTable;
  readonly anchor_leaves: AnchorLeavesTable;
  readonly log_nodes: LogNodesTable;
  readonly log_keys: LogKeysTable;
}

export interface ClustersTable {
  readonly cluster_id: string;
  readonly display_name: string;
  readonly origin: string;
  readonly request_id: string | null;
  readonly predecessor_id: string | null;
  readonly created_at: Date;
  readonly state: Generated<ClusterState>;
  readonly state_reason: Generated<string>;
  readonly state_version: Generated<number>;
  readonly confirmed_size: number | null;
  readonly successor_id: string | null;
  readonly frozen_reason: string | null;
}

export interface HeadsTable {
  readonly cluster_id: string;
  readonly size: number;
  readonly prev_size: number | null;
  readonly epoch: number;
  readonly root: Uint8Array;
  readonly mac: Uint8Array;
}

export interface AnchorsTable {
  readonly cluster_id: string;
  readonly log_index: number;
  readonly created_at: Date;
  readonly anchor_id: string | null;
  readonly request_id: string | null;
  readonly leaf_count: number;
  readonly root: Uint8Array | null;
  readonly record_hash: Uint8Array;
  readonly record: Uint8Array;
}

export interface AnchorLeavesTable {
  readonly cluster_id: string;
  readonly anchor_id: string;
  readonly leaves: Uint8Array;
  readonly nodes: Uint8Array;
}

export interface LogNodesTable {
  readonly cluster_id: string;
  readonly level: number;
  readonly index: number;
  readonly hash: Uint8Array;
}

export interface LogKeysTable {
  readonly cluster_id: string;
  readonly epoch: number;
  readonly type: number;
  readonly vkey: string;
  readonly seed_id: string;
  readonly first_size: number;
  readonly last_size: number | null;
}

/** Builds queries; connections of our own pool run them, since how they fail matters (`sql-state.ts`). */
export const queries = new Kysely<Database>({
  dialect: {
    createAdapter: () => new PostgresAdapter(),
    createDriver: () => new DummyDriver(),
    createIntrospector: (db) => new PostgresIntrospector(db),
    createQueryCompiler: () => new PostgresQueryCompiler(),
  },
});
