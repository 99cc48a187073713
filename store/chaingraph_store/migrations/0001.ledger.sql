-- The ledger. DBOS's own schema `dbos` lives in the same database, so that a row here and its workflow
-- there are written in one transaction.
-- depends:

CREATE SCHEMA IF NOT EXISTS chaingraph;

CREATE SEQUENCE chaingraph.change_seq;

CREATE TABLE chaingraph.flow_revisions (
    revision   text PRIMARY KEY,
    spec       json NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE chaingraph.executions (
    id               text PRIMARY KEY,
    uid              text UNIQUE,
    namespace        text NOT NULL,
    name             text NOT NULL,
    flow_name        text NOT NULL DEFAULT '',
    flow_revision    text NOT NULL REFERENCES chaingraph.flow_revisions (revision),
    inputs           json NOT NULL DEFAULT '{}',
    events           json NOT NULL DEFAULT '[]',
    integration      json NOT NULL DEFAULT '{}',
    options          json NOT NULL DEFAULT '{}',
    queue            text NOT NULL,
    priority         integer NOT NULL DEFAULT 0,
    start_timeout_s  integer NOT NULL DEFAULT 300,
    parent_id        text REFERENCES chaingraph.executions (id),
    root_id          text NOT NULL,
    depth            integer NOT NULL DEFAULT 0,
    phase            text NOT NULL
        CHECK (phase IN ('Pending', 'Created', 'Running', 'Paused', 'Completed', 'Failed', 'Stopped')),
    attempt          integer NOT NULL DEFAULT 1,
    workflow_id      text NOT NULL UNIQUE,
    owner_epoch      bigint NOT NULL DEFAULT 0,
    recoveries       integer NOT NULL DEFAULT 0,
    recovered_nodes  integer NOT NULL DEFAULT 0,
    worker           text NOT NULL DEFAULT '',
    lost_worker      text NOT NULL DEFAULT '',
    nodes_total      integer NOT NULL DEFAULT 0,
    nodes_completed  integer NOT NULL DEFAULT 0,
    nodes_failed     integer NOT NULL DEFAULT 0,
    nodes_skipped    integer NOT NULL DEFAULT 0,
    nodes_running    integer NOT NULL DEFAULT 0,
    current_nodes    text[] NOT NULL DEFAULT '{}',
    outputs          json,
    error_node       text NOT NULL DEFAULT '',
    error_reason     text NOT NULL DEFAULT '',
    error_message    text NOT NULL DEFAULT '',
    next_event_index bigint NOT NULL DEFAULT 0,
    created_at       timestamptz NOT NULL DEFAULT now(),
    started_at       timestamptz,
    finished_at      timestamptz,
    change_seq       bigint NOT NULL DEFAULT nextval('chaingraph.change_seq')
);
COMMENT ON COLUMN chaingraph.executions.uid IS 'UID of the resource; null for a child that has none';
COMMENT ON COLUMN chaingraph.executions.owner_epoch IS 'grows with every change of owner; fences the writes of a former one';
COMMENT ON COLUMN chaingraph.executions.recoveries IS 'workers lost since a node has ended';
COMMENT ON COLUMN chaingraph.executions.recovered_nodes IS 'nodes that had ended when the last worker was lost';
COMMENT ON COLUMN chaingraph.executions.lost_worker IS 'the worker that was lost, until another one has taken over';

CREATE INDEX executions_change_seq ON chaingraph.executions (change_seq);
CREATE INDEX executions_active ON chaingraph.executions (namespace, name)
    WHERE phase NOT IN ('Completed', 'Failed', 'Stopped');
CREATE INDEX executions_children ON chaingraph.executions (parent_id) WHERE parent_id IS NOT NULL;

CREATE TABLE chaingraph.journal (
    execution_id text NOT NULL REFERENCES chaingraph.executions (id) ON DELETE CASCADE,
    node_id      text NOT NULL,
    attempt      integer NOT NULL,
    outcome      text NOT NULL CHECK (outcome IN ('completed', 'failed', 'skipped')),
    record       json NOT NULL,
    PRIMARY KEY (execution_id, node_id)
);

CREATE TABLE chaingraph.events (
    execution_id text NOT NULL REFERENCES chaingraph.executions (id) ON DELETE CASCADE,
    index        bigint NOT NULL,
    type         text NOT NULL,
    at           timestamptz NOT NULL,
    data         json NOT NULL,
    PRIMARY KEY (execution_id, index)
);

CREATE TABLE chaingraph.catalogues (
    hash       text PRIMARY KEY,
    catalogue  json NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE chaingraph.workers (
    executor_id         text PRIMARY KEY,
    application_name    text NOT NULL,
    application_version text NOT NULL,
    host                text NOT NULL,
    pod                 text NOT NULL DEFAULT '',
    queues              text[] NOT NULL,
    concurrency         integer NOT NULL,
    catalogue_hash      text NOT NULL REFERENCES chaingraph.catalogues (hash),
    started_at          timestamptz NOT NULL DEFAULT now(),
    renewed_at          timestamptz NOT NULL DEFAULT now(),
    expires_at          timestamptz NOT NULL,
    draining            boolean NOT NULL DEFAULT false,
    revoked             boolean NOT NULL DEFAULT false
);
COMMENT ON COLUMN chaingraph.workers.revoked IS 'its work was handed back: the lease cannot be renewed any more';
CREATE INDEX workers_expires_at ON chaingraph.workers (expires_at);
