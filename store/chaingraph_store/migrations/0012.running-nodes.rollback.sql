ALTER TABLE chaingraph.executions DROP COLUMN running_nodes;
