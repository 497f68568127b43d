-- Who did what. The first five columns are what the digest covers: a change of any of them is found out.
CREATE TABLE audit_events (
  event_id    uuid PRIMARY KEY,
  -- Milliseconds, as the digest has them: what Postgres rounded away could not be hashed again.
  occurred_at timestamptz(3) NOT NULL,
  actor       text NOT NULL,
  action      text NOT NULL,
  subject     text NOT NULL,
  -- Opens the digest. To erase an event for good, erase it together with its salt.
  salt        bytea NOT NULL,
  -- Whether the event is to be anchored at all, and whether it is.
  notarize    boolean NOT NULL,
  notarized   boolean NOT NULL DEFAULT false,
  -- Written by the outbox when the notary has answered; together they name the leaf for ever.
  anchor_id   uuid,
  leaf_index  integer
);
