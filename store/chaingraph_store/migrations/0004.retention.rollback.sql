DROP INDEX chaingraph.executions_flow_revision;
DROP INDEX chaingraph.executions_ended;
DROP TABLE chaingraph.cluster;
