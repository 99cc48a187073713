DROP INDEX chaingraph.executions_unshown;
CREATE INDEX executions_unshown ON chaingraph.executions (namespace, created_at, id)
    WHERE parent_id IS NOT NULL AND uid IS NULL AND resources = 'Create';
DROP INDEX chaingraph.executions_standing;
ALTER TABLE chaingraph.executions DROP COLUMN held_at, DROP COLUMN expired_at;
