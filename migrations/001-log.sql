-- The cluster log: clusters, heads, anchors, leaves, subtree hashes and keys.
--
-- History is insert-only. Every unique key starts with cluster_id, so that the tables can be distributed by it. There are no
-- foreign keys: rows of history are only ever selected from the head that admits them, and a check for each row of a group
-- would cost more than the row.

CREATE TABLE clusters (
  cluster_id     uuid PRIMARY KEY,
  display_name   text NOT NULL CHECK (octet_length(display_name) <= 1024),
  origin         text NOT NULL CHECK (octet_length(origin) BETWEEN 1 AND 255),
  request_id     uuid,
  predecessor_id uuid,
  created_at     timestamptz(3) NOT NULL,
  -- The only columns that change.
  state          text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'frozen', 'recovering', 'sealed')),
  state_reason   text NOT NULL DEFAULT '',
  state_version  bigint NOT NULL DEFAULT 1,
  confirmed_size bigint CHECK (confirmed_size >= 0),
  successor_id   uuid
);
CREATE UNIQUE INDEX clusters_request_id_key ON clusters (request_id) WHERE request_id IS NOT NULL;

-- One row for each committed size. Genesis is (size 0, prev_size NULL), so that the primary key allows one only; the unique
-- prev_size lets no two heads follow the same one.
CREATE TABLE heads (
  cluster_id uuid NOT NULL,
  size       bigint NOT NULL CHECK (size >= 0),
  prev_size  bigint CHECK (prev_size >= 0 AND prev_size < size),
  epoch      integer NOT NULL CHECK (epoch >= 1),
  root       bytea NOT NULL CHECK (octet_length(root) = 32),
  mac        bytea NOT NULL CHECK (octet_length(mac) = 32),
  PRIMARY KEY (cluster_id, size),
  CONSTRAINT heads_prev_size_key UNIQUE (cluster_id, prev_size),
  CHECK ((size = 0) = (prev_size IS NULL))
);

-- The entries of the logs. An entry without leaves (a succession record) has no anchor_id and no root. The primary key covers
-- record_hash, so that the leaves of a log path are read from the index alone.
CREATE TABLE anchors (
  cluster_id  uuid NOT NULL,
  log_index   bigint NOT NULL CHECK (log_index >= 0),
  created_at  timestamptz(3) NOT NULL,
  anchor_id   uuid,
  request_id  uuid,
  leaf_count  integer NOT NULL,
  root        bytea CHECK (octet_length(root) = 32),
  record_hash bytea NOT NULL CHECK (octet_length(record_hash) = 32),
  record      bytea NOT NULL CHECK (octet_length(record) BETWEEN 1 AND 2048),
  PRIMARY KEY (cluster_id, log_index) INCLUDE (record_hash),
  CONSTRAINT anchors_anchor_id_key UNIQUE (cluster_id, anchor_id),
  CONSTRAINT anchors_leaves_check CHECK (
    CASE WHEN anchor_id IS NULL THEN leaf_count = 0 AND root IS NULL ELSE leaf_count > 0 AND root IS NOT NULL END
  )
);
CREATE UNIQUE INDEX anchors_request_id_key ON anchors (cluster_id, request_id) WHERE request_id IS NOT NULL;
CREATE INDEX anchors_anchor_id_idx ON anchors (anchor_id);

-- The leaves of an anchor, N * 32 bytes, and the hashes of its complete subtrees of 256 and 256^2 leaves. Not compressed, since
-- digests do not shrink, and so that a part can be read without the rest. An anchor_id is a UUIDv7, its time comes first: the
-- table can be split by time.
CREATE TABLE anchor_leaves (
  cluster_id uuid NOT NULL,
  anchor_id  uuid NOT NULL,
  leaves     bytea NOT NULL CHECK (octet_length(leaves) > 0 AND octet_length(leaves) % 32 = 0),
  nodes      bytea NOT NULL CHECK (octet_length(nodes) % 32 = 0),
  PRIMARY KEY (cluster_id, anchor_id)
) PARTITION BY RANGE (anchor_id);
ALTER TABLE anchor_leaves ALTER COLUMN leaves SET STORAGE EXTERNAL;
ALTER TABLE anchor_leaves ALTER COLUMN nodes SET STORAGE EXTERNAL;
CREATE TABLE anchor_leaves_default PARTITION OF anchor_leaves DEFAULT;
ALTER TABLE anchor_leaves_default ALTER COLUMN leaves SET STORAGE EXTERNAL;
ALTER TABLE anchor_leaves_default ALTER COLUMN nodes SET STORAGE EXTERNAL;

-- Hashes of the complete subtrees of 256^level entries.
CREATE TABLE log_nodes (
  cluster_id uuid NOT NULL,
  level      smallint NOT NULL CHECK (level >= 1),
  index      bigint NOT NULL CHECK (index >= 0),
  hash       bytea NOT NULL CHECK (octet_length(hash) = 32),
  PRIMARY KEY (cluster_id, level, index)
);

CREATE TABLE log_keys (
  cluster_id uuid NOT NULL,
  epoch      integer NOT NULL CHECK (epoch >= 1),
  type       smallint NOT NULL CHECK (type BETWEEN 0 AND 255),
  vkey       text NOT NULL,
  seed_id    text NOT NULL,
  first_size bigint NOT NULL CHECK (first_size >= 0),
  last_size  bigint CHECK (last_size >= first_size),
  PRIMARY KEY (cluster_id, epoch, type)
);

-- Index-only scans need the visibility map, which only vacuum writes, and insert-only tables give it no other reason to come.
-- Freezing at once saves a second visit.
ALTER TABLE heads SET (autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 10000, autovacuum_freeze_min_age = 0);
ALTER TABLE anchors SET (autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 10000, autovacuum_freeze_min_age = 0);
ALTER TABLE log_nodes SET (autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 10000, autovacuum_freeze_min_age = 0);
ALTER TABLE anchor_leaves_default SET (
  autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 10000, autovacuum_freeze_min_age = 0,
  toast.autovacuum_vacuum_insert_scale_factor = 0, toast.autovacuum_vacuum_insert_threshold = 100000, toast.autovacuum_freeze_min_age = 0
);

-- A seat belt against mistakes of whoever owns the tables. What makes a rewrite visible is the signatures, and those who hold
-- checkpoints.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% of % is refused: history is insert-only', TG_OP, TG_TABLE_NAME
    USING ERRCODE = 'object_not_in_prerequisite_state';
END
$$;

CREATE TRIGGER insert_only BEFORE UPDATE OR DELETE OR TRUNCATE ON heads FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER insert_only BEFORE UPDATE OR DELETE OR TRUNCATE ON anchors FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER insert_only BEFORE UPDATE OR DELETE OR TRUNCATE ON anchor_leaves FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER insert_only BEFORE UPDATE OR DELETE OR TRUNCATE ON anchor_leaves_default FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER insert_only BEFORE UPDATE OR DELETE OR TRUNCATE ON log_nodes FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER insert_only BEFORE UPDATE OR DELETE OR TRUNCATE ON log_keys FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER insert_only BEFORE DELETE OR TRUNCATE ON clusters FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER genesis_only BEFORE UPDATE OF cluster_id, display_name, origin, request_id, predecessor_id, created_at ON clusters
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
