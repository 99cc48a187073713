DROP INDEX chaingraph.executions_roots_of_all;
DROP INDEX chaingraph.executions_parents;
DROP INDEX chaingraph.executions_spawning;
DROP INDEX chaingraph.executions_unshown;
DROP INDEX chaingraph.executions_uncounted;
DROP INDEX chaingraph.executions_tree;
DROP INDEX chaingraph.executions_children;
CREATE INDEX executions_children ON chaingraph.executions (parent_id) WHERE parent_id IS NOT NULL;
DROP TABLE chaingraph.trees;
DROP TABLE chaingraph.flows;
ALTER TABLE chaingraph.executions
    DROP CONSTRAINT executions_children_counts,
    DROP COLUMN children_unmade, DROP COLUMN position, DROP COLUMN children_total, DROP COLUMN children_spawned, DROP COLUMN children_barred,
    DROP COLUMN children_open, DROP COLUMN told, DROP COLUMN counted, DROP COLUMN tree_stopped, DROP COLUMN resources,
    DROP COLUMN obeyed_generation, DROP COLUMN used_tokens;
