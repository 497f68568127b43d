-- Which database this log has lived in: a promoted standby has another timeline, a restored dump or backup another system
-- identifier, database or table. The newest row is what the servers last took for theirs; a database that does not fit its own
-- newest row may lack what was acknowledged.
CREATE TABLE lineage (
  number            bigint PRIMARY KEY CHECK (number >= 1),
  system_identifier text NOT NULL,
  timeline          integer NOT NULL CHECK (timeline >= 1),
  -- Object ids of the database and of the table of heads: restoring a dump makes new ones.
  storage           text NOT NULL,
  -- Whether commits waited for a synchronous standby. Written while they did, it is on that standby as well.
  synchronous       boolean NOT NULL,
  lsn               pg_lsn NOT NULL,
  noticed_at        timestamptz(3) NOT NULL DEFAULT now(),
  -- What was noticed; empty for the first row.
  reason            text NOT NULL
);

CREATE TRIGGER insert_only BEFORE UPDATE OR DELETE OR TRUNCATE ON lineage FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
