DROP TABLE chaingraph.erasures;
DROP TABLE chaingraph.upkeep;
ALTER TABLE chaingraph.executions DROP COLUMN losses, DROP COLUMN namespace_uid, DROP COLUMN deleted_at;
