-- Of a cluster that is recovering and was frozen before: why it was. A thaw from recovering makes it frozen again, for this
-- reason. NULL where it was active.
ALTER TABLE clusters ADD COLUMN frozen_reason text;
