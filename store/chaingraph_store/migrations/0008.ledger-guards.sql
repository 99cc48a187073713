-- Recovery by any worker, whose execution a row is, and what was erased.
-- depends: 0007.worker-versions

ALTER TABLE chaingraph.executions
    ADD COLUMN losses        integer NOT NULL DEFAULT 0,
    ADD COLUMN namespace_uid text NOT NULL DEFAULT '',
    ADD COLUMN deleted_at    timestamptz;
UPDATE chaingraph.executions SET losses = recoveries WHERE recoveries > 0;
COMMENT ON COLUMN chaingraph.executions.recoveries IS
    'workers lost since a node has ended, in which it ran alone: losses that count against it';
COMMENT ON COLUMN chaingraph.executions.losses IS 'workers lost since a node has ended, whoever ran beside it';
COMMENT ON COLUMN chaingraph.executions.namespace_uid IS
    'UID of the namespace of its resource; empty for what was created before this was recorded';
COMMENT ON COLUMN chaingraph.executions.deleted_at IS
    'when its resource, or the one of an execution above it, was found deleted: from then on it is not shown';

-- Tasks that one process does for all. `due_at` is the earliest time of the next run.
CREATE TABLE chaingraph.upkeep (
    task   text PRIMARY KEY,
    due_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO chaingraph.upkeep (task) VALUES ('stranded'), ('forget');

-- What was erased, by whom and why. Never removed by us.
CREATE TABLE chaingraph.erasures (
    number     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT now(),
    erased_by  text NOT NULL,
    reason     text NOT NULL DEFAULT '',
    namespace  text NOT NULL,
    name       text NOT NULL DEFAULT '',
    executions integer NOT NULL,
    ids        text[] NOT NULL
);
COMMENT ON TABLE chaingraph.erasures IS 'audit: one row for each erasure, without any content of what was erased';
