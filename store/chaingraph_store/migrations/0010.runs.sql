-- Start gates that a retry closes again, expired executions, and turns between the roots of a namespace.
-- depends: 0009.tenancy

ALTER TABLE chaingraph.executions
    ADD COLUMN held_at    timestamptz,
    ADD COLUMN expired_at timestamptz;
COMMENT ON COLUMN chaingraph.executions.held_at IS
    'since when it waits for its start: set by a retry; null means since created_at';
COMMENT ON COLUMN chaingraph.executions.expired_at IS
    'when its resource, or its parent''s, was deleted because of ttlSecondsAfterFinished: it stays readable';
-- Whether the resource of a former release's execution expired is not known: those that have ended stay readable.
UPDATE chaingraph.executions SET expired_at = now()
WHERE uid IS NOT NULL AND deleted_at IS NULL AND phase IN ('Completed', 'Failed', 'Stopped');

-- Ended executions whose resource exists as far as the ledger knows. The operator's sweep reads it page by page.
CREATE INDEX executions_standing ON chaingraph.executions (id) INCLUDE (uid, change_seq)
    WHERE uid IS NOT NULL AND deleted_at IS NULL AND expired_at IS NULL
      AND phase IN ('Completed', 'Failed', 'Stopped');

-- Children without a resource: the roots of a namespace take turns, and in a tree the oldest child comes first.
DROP INDEX chaingraph.executions_unshown;
CREATE INDEX executions_unshown ON chaingraph.executions (namespace, root_id, created_at, id)
    WHERE parent_id IS NOT NULL AND uid IS NULL AND resources = 'Create';
