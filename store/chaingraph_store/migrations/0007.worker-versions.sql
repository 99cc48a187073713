-- Which version of the workers an execution is run by, and which versions take nothing new.
-- depends: 0006.operators

ALTER TABLE chaingraph.executions
    ADD COLUMN worker_pool    text NOT NULL DEFAULT '',
    ADD COLUMN worker_version text NOT NULL DEFAULT '';
COMMENT ON COLUMN chaingraph.executions.worker_pool IS 'pool of the worker that claimed this attempt last; empty for none';
COMMENT ON COLUMN chaingraph.executions.worker_version IS 'version of that worker: while one of that pool and version lives, no other claims it. Empty for none';

ALTER TABLE chaingraph.workers
    ADD COLUMN pool    text NOT NULL DEFAULT '',
    ADD COLUMN retired boolean NOT NULL DEFAULT false,
    ADD COLUMN serving boolean NOT NULL DEFAULT true;
COMMENT ON COLUMN chaingraph.workers.retired IS 'it is to take nothing but what is pinned to its version: set by the operator';
COMMENT ON COLUMN chaingraph.workers.serving IS 'it may still take what is not pinned to its version: set by itself';

-- What was handed back and waits for a worker of its version. Nearly always nothing; what runs is not in it, so that a
-- flush does not cost more.
CREATE INDEX executions_pinned ON chaingraph.executions (worker_pool, worker_version)
    WHERE phase = 'Pending' AND worker_version <> '';
