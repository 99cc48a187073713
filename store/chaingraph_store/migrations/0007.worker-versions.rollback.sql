DROP INDEX chaingraph.executions_pinned;
ALTER TABLE chaingraph.workers DROP COLUMN pool, DROP COLUMN retired, DROP COLUMN serving;
ALTER TABLE chaingraph.executions DROP COLUMN worker_pool, DROP COLUMN worker_version;
