DROP INDEX chaingraph.executions_named;
DROP INDEX chaingraph.executions_roots;
