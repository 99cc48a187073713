-- Reading executions by name and in the order they were made, as the gateway does.
-- depends: 0002.control

CREATE INDEX executions_named ON chaingraph.executions (namespace, name);
CREATE INDEX executions_roots ON chaingraph.executions (namespace, created_at, id) WHERE parent_id IS NULL;
