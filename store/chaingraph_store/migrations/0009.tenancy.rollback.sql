DROP FUNCTION chaingraph.take(text, text, text, text, text, integer, integer, integer);
DROP INDEX IF EXISTS dbos.chaingraph_without_namespace;
DROP TABLE chaingraph.ledger_sizes;
DROP TABLE chaingraph.queue_shares;
DROP TABLE chaingraph.namespace_policies;
