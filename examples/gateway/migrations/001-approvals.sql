CREATE TABLE sessions (
  session_id uuid PRIMARY KEY,
  -- What the client shows; audit events name the session by its id.
  token      uuid NOT NULL UNIQUE,
  actor      text NOT NULL,
  closed_at  timestamptz
);

CREATE TABLE approvals (
  approval_id  uuid PRIMARY KEY,
  title        text NOT NULL,
  -- of its audit events: standard, always_notarize or log_only
  fidelity     text NOT NULL,
  requested_by text NOT NULL,
  state        text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'approved', 'rejected')),
  decided_by   text
);
