DROP FUNCTION chaingraph.take(text, text, text, text, text, integer, integer, integer);
DROP INDEX IF EXISTS dbos.chaingraph_without_namespace;
DROP INDEX chaingraph.executions_unshown;
CREATE INDEX executions_unshown ON chaingraph.executions (created_at, id)
    WHERE parent_id IS NOT NULL AND uid IS NULL AND resources = 'Create';
DROP TABLE chaingraph.ledger_sizes;
DROP TABLE chaingraph.queue_shares;
DROP TABLE chaingraph.namespace_policies;
