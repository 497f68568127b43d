-- Whether nothing that was acknowledged could be missing as far as the server knew that wrote the row: of others, who may know
-- better, it depends whether there is reason for alarm.
ALTER TABLE lineage ADD COLUMN trusted boolean NOT NULL DEFAULT false;
