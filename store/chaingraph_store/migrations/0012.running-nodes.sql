-- How the nodes stand that run: in which try, since when, and when the next one begins.
-- depends: 0011.pool-roles

ALTER TABLE chaingraph.executions ADD COLUMN running_nodes json NOT NULL DEFAULT '[]';
COMMENT ON COLUMN chaingraph.executions.running_nodes IS
    'of the first nodes that run or wait for another try: node, tries, max_tries, since and next_at in milliseconds since 1970; after a flow timeout or a stop, of those that were interrupted';
