-- Children: what an execution has spawned and has still to spawn, and what a parent was told. Tokens once used, and the
-- generation that was obeyed last.
-- depends: 0004.retention

ALTER TABLE chaingraph.executions
    ADD COLUMN position         integer,
    ADD COLUMN children_total   integer NOT NULL DEFAULT 0,
    ADD COLUMN children_spawned integer NOT NULL DEFAULT 0,
    ADD COLUMN children_barred  integer NOT NULL DEFAULT 0,
    ADD COLUMN children_open    integer NOT NULL DEFAULT 0,
    ADD COLUMN told             boolean NOT NULL DEFAULT false,
    ADD COLUMN counted          boolean NOT NULL DEFAULT false,
    ADD COLUMN tree_stopped     boolean NOT NULL DEFAULT false,
    ADD COLUMN resources        text NOT NULL DEFAULT 'Create' CHECK (resources IN ('Create', 'None')),
    ADD COLUMN obeyed_generation bigint NOT NULL DEFAULT 0,
    ADD COLUMN used_tokens      text[] NOT NULL DEFAULT '{}',
    ALTER COLUMN flow_revision DROP NOT NULL,
    ADD COLUMN children_unmade  integer NOT NULL
        GENERATED ALWAYS AS (children_total - children_spawned - children_barred) STORED,
    ADD CONSTRAINT executions_children_counts CHECK (
        children_spawned >= 0 AND children_barred >= 0 AND children_spawned + children_barred <= children_total
        AND children_open BETWEEN 0 AND children_total);

COMMENT ON COLUMN chaingraph.executions.position IS 'number of the emission of its parent that made it, from 0; null for what has no parent';
COMMENT ON COLUMN chaingraph.executions.children_total IS 'emissions of the attempt that completed: each becomes a child';
COMMENT ON COLUMN chaingraph.executions.children_spawned IS 'children that were made: those of the first so many emissions';
COMMENT ON COLUMN chaingraph.executions.children_barred IS 'children that will never be made, because a stop or a deletion came before';
COMMENT ON COLUMN chaingraph.executions.children_unmade IS 'children that are still to be made: a column, so that the planner knows how few executions have any';
COMMENT ON COLUMN chaingraph.executions.children_open IS 'children that were not made yet, have not ended, or have something below them that has not ended; as far as they were counted';
COMMENT ON COLUMN chaingraph.executions.told IS 'its end is in the log of its parent';
COMMENT ON COLUMN chaingraph.executions.counted IS 'it is no longer among the open children of its parent';
COMMENT ON COLUMN chaingraph.executions.tree_stopped IS 'what is below it was stopped, at its request or with something above it';
COMMENT ON COLUMN chaingraph.executions.resources IS 'whether children, and theirs, are shown as resources';
COMMENT ON COLUMN chaingraph.executions.flow_revision IS 'null for a child whose flow could not be found';
COMMENT ON COLUMN chaingraph.executions.obeyed_generation IS 'generation of the resource whose commands were carried out last';
COMMENT ON COLUMN chaingraph.executions.used_tokens IS 'tokens that were used, each after its kind and a colon, the newest last';

-- Which flow a name stands for, for the children of emitters that name one. Kept by the operator.
CREATE TABLE chaingraph.flows (
    namespace  text NOT NULL,
    name       text NOT NULL,
    revision   text REFERENCES chaingraph.flow_revisions (revision),
    nodes      integer NOT NULL DEFAULT 0,
    inputs     json NOT NULL DEFAULT '{}',
    problem    text NOT NULL DEFAULT '',
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (namespace, name)
);
COMMENT ON COLUMN chaingraph.flows.inputs IS 'the values that its inputs have when none are given';
COMMENT ON COLUMN chaingraph.flows.problem IS 'why it cannot be run; then there is no revision';
CREATE INDEX flows_revision ON chaingraph.flows (revision);

-- What all executions of a tree share. Made with the first child.
CREATE TABLE chaingraph.trees (
    root_id  text PRIMARY KEY REFERENCES chaingraph.executions (id) ON DELETE CASCADE,
    size     bigint NOT NULL DEFAULT 1,
    clock_ms bigint NOT NULL DEFAULT 0
);
COMMENT ON COLUMN chaingraph.trees.size IS 'executions of the tree, made or to be made';
COMMENT ON COLUMN chaingraph.trees.clock_ms IS 'place of its next child in the queue, as milliseconds since 1970: see docs/decisions/0006';

DROP INDEX chaingraph.executions_children;
CREATE INDEX executions_children ON chaingraph.executions (parent_id, position) INCLUDE (phase)
    WHERE parent_id IS NOT NULL;
CREATE INDEX executions_tree ON chaingraph.executions (root_id, phase) WHERE parent_id IS NOT NULL;
-- Children whose parent has still to be told that they have ended, or that everything below them has.
CREATE INDEX executions_uncounted ON chaingraph.executions (parent_id)
    WHERE parent_id IS NOT NULL AND finished_at IS NOT NULL AND NOT counted AND (NOT told OR children_open = 0);
-- Children that are to have a resource and have none yet.
CREATE INDEX executions_unshown ON chaingraph.executions (created_at, id)
    WHERE parent_id IS NOT NULL AND uid IS NULL AND resources = 'Create';
-- Executions that still have to spawn.
CREATE INDEX executions_spawning ON chaingraph.executions (id) WHERE children_unmade > 0;
-- Executions with children, level by level: pages of a tree go from one to the next.
CREATE INDEX executions_parents ON chaingraph.executions (root_id, depth, id) WHERE children_total > 0;
-- The roots of all namespaces, in the order they were made.
CREATE INDEX executions_roots_of_all ON chaingraph.executions (created_at, id) WHERE parent_id IS NULL;
