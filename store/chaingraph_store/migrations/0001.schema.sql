-- The ledger. DBOS keeps its own schema `dbos` in the same database, so that one transaction writes a row here and the
-- workflow there.
-- depends:

-- Functions below name DBOS's tables, which a database with this schema alone does not have.
SET LOCAL check_function_bodies = off;

CREATE SCHEMA IF NOT EXISTS chaingraph;


-- Flows -----------------------------------------------------------------------------------------------------------

CREATE TABLE chaingraph.flow_revisions (
    revision       text PRIMARY KEY,
    spec           json NOT NULL,
    exit_subflow   text NOT NULL DEFAULT '',
    exit_timeout_s integer NOT NULL DEFAULT 0,
    created_at     timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN chaingraph.flow_revisions.exit_subflow IS 'the subflow of onExit; empty without one';

-- The revision that each Flow name stands for, for children of emitters that name a Flow. Kept by the operator.
CREATE TABLE chaingraph.flows (
    namespace  text NOT NULL,
    name       text NOT NULL,
    revision   text REFERENCES chaingraph.flow_revisions (revision),
    nodes      integer NOT NULL DEFAULT 0,
    inputs     json NOT NULL DEFAULT '{}',
    problem    text NOT NULL DEFAULT '',
    reason     text NOT NULL DEFAULT '',
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (namespace, name)
);
COMMENT ON COLUMN chaingraph.flows.inputs IS 'values of its inputs where none are given';
COMMENT ON COLUMN chaingraph.flows.problem IS
    'why it cannot run without inputs; without a revision, it cannot run at all';
COMMENT ON COLUMN chaingraph.flows.reason IS 'the problem in one word, as FlowInvalid or InvalidInputs';
CREATE INDEX flows_revision ON chaingraph.flows (revision);


-- Executions ------------------------------------------------------------------------------------------------------

-- Numbers the changes of executions. Drawn before the commit, so numbers can become visible out of order.
CREATE SEQUENCE chaingraph.change_seq;

CREATE TABLE chaingraph.executions (
    id                  text PRIMARY KEY,
    -- The resource.
    uid                 text UNIQUE,
    namespace           text NOT NULL,
    namespace_uid       text NOT NULL DEFAULT '',
    name                text NOT NULL,
    observed_generation bigint NOT NULL DEFAULT 0,
    created_at          timestamptz NOT NULL DEFAULT now(),
    expired_at          timestamptz,
    deleted_at          timestamptz,
    -- Its work.
    flow_name           text NOT NULL DEFAULT '',
    flow_revision       text REFERENCES chaingraph.flow_revisions (revision),
    subflow             text NOT NULL DEFAULT '',
    inputs              json NOT NULL DEFAULT '{}',
    events              json NOT NULL DEFAULT '[]',
    integration         json NOT NULL DEFAULT '{}',
    options             json NOT NULL DEFAULT '{}',
    queue               text NOT NULL,
    priority            integer NOT NULL DEFAULT 0,
    start_timeout_s     integer NOT NULL DEFAULT 300,
    held_at             timestamptz,
    -- Its place in the tree.
    parent_id           text REFERENCES chaingraph.executions (id),
    root_id             text NOT NULL,
    depth               integer NOT NULL DEFAULT 0,
    position            integer,
    called_by           text NOT NULL DEFAULT '',
    called_in           text NOT NULL DEFAULT '',
    -- State.
    phase               text NOT NULL
        CHECK (phase IN ('Pending', 'Created', 'Running', 'Paused', 'Completed', 'Failed', 'Stopped')),
    attempt             integer NOT NULL DEFAULT 1,
    attempts            json NOT NULL DEFAULT '[]',
    run                 integer NOT NULL DEFAULT 1,
    workflow_id         text NOT NULL UNIQUE,
    started_at          timestamptz,
    finished_at         timestamptz,
    ran_ms              bigint NOT NULL DEFAULT 0,
    change_seq          bigint NOT NULL DEFAULT nextval('chaingraph.change_seq'),
    next_event_index    bigint NOT NULL DEFAULT 0,
    start_logged        boolean NOT NULL DEFAULT false,
    pause_logged        boolean NOT NULL DEFAULT false,
    -- Its owner.
    owner_epoch         bigint NOT NULL DEFAULT 0,
    worker              text NOT NULL DEFAULT '',
    worker_pool         text NOT NULL DEFAULT '',
    worker_version      text NOT NULL DEFAULT '',
    lost_worker         text NOT NULL DEFAULT '',
    losses              integer NOT NULL DEFAULT 0,
    recoveries          integer NOT NULL DEFAULT 0,
    recovered_nodes     integer NOT NULL DEFAULT 0,
    -- Nodes and results.
    nodes_total         integer NOT NULL DEFAULT 0,
    nodes_completed     integer NOT NULL DEFAULT 0,
    nodes_failed        integer NOT NULL DEFAULT 0,
    nodes_skipped       integer NOT NULL DEFAULT 0,
    nodes_running       integer NOT NULL DEFAULT 0,
    nodes_waiting       integer NOT NULL DEFAULT 0,
    current_nodes       text[] NOT NULL DEFAULT '{}',
    running_nodes       json NOT NULL DEFAULT '[]',
    outputs             json,
    error_node          text NOT NULL DEFAULT '',
    error_reason        text NOT NULL DEFAULT '',
    error_message       text NOT NULL DEFAULT '',
    error_details       json,
    -- Commands.
    wants_pause         boolean NOT NULL DEFAULT false,
    paused              boolean NOT NULL DEFAULT false,
    pause_node          text NOT NULL DEFAULT '',
    parked              boolean NOT NULL DEFAULT false,
    asleep_at           timestamptz,
    wake_at             timestamptz,
    breakpoints         text[] NOT NULL DEFAULT '{}',
    control_seq         bigint NOT NULL DEFAULT 0,
    pause_seq           bigint NOT NULL DEFAULT 0,
    applied_seq         bigint NOT NULL DEFAULT 0,
    signal_count        integer NOT NULL DEFAULT 0,
    step_seqs           bigint[] NOT NULL DEFAULT '{}',
    step_token          text NOT NULL DEFAULT '',
    resume_token        text NOT NULL DEFAULT '',
    retry_token         text NOT NULL DEFAULT '',
    retry_refusal       text NOT NULL DEFAULT '',
    retry_refusal_message text NOT NULL DEFAULT '',
    used_tokens         text[] NOT NULL DEFAULT '{}',
    on_stop             text NOT NULL DEFAULT 'Stop' CHECK (on_stop IN ('Stop', 'Continue')),
    tree_stopped        boolean NOT NULL DEFAULT false,
    -- Children.
    resources           text NOT NULL DEFAULT 'Create' CHECK (resources IN ('Create', 'None')),
    children_total      integer NOT NULL DEFAULT 0,
    children_spawned    integer NOT NULL DEFAULT 0,
    children_called     integer NOT NULL DEFAULT 0,
    children_suppressed integer NOT NULL DEFAULT 0,
    children_unspawned  integer NOT NULL
        GENERATED ALWAYS AS (children_total - children_spawned - children_suppressed) STORED,
    children_active     integer NOT NULL DEFAULT 0,
    parent_notified     boolean NOT NULL DEFAULT false,
    counted             boolean NOT NULL DEFAULT false,
    -- What runs after its end.
    exit_subflow        text NOT NULL DEFAULT '',
    exit_timeout_s      integer NOT NULL DEFAULT 0,
    exit_attempt        integer NOT NULL DEFAULT 0,
    CONSTRAINT executions_parked CHECK (NOT parked OR phase = 'Paused' OR phase = 'Running' AND wake_at IS NOT NULL),
    CONSTRAINT executions_asleep CHECK (
        (wake_at IS NULL) = (asleep_at IS NULL) AND (wake_at IS NULL OR parked AND phase = 'Running')),
    CONSTRAINT executions_children_counts CHECK (
        children_called BETWEEN 0 AND children_spawned AND children_suppressed >= 0 AND children_spawned + children_suppressed <= children_total
        AND children_active BETWEEN 0 AND children_total)
);
COMMENT ON COLUMN chaingraph.executions.uid IS 'UID of the resource; null for a child without one';
COMMENT ON COLUMN chaingraph.executions.namespace_uid IS
    'UID of the namespace of the resource; empty where it is not known';
COMMENT ON COLUMN chaingraph.executions.observed_generation IS
    'generation of the resource whose commands were carried out last';
COMMENT ON COLUMN chaingraph.executions.expired_at IS
    'when its resource, or that of its parent, was deleted because of ttlSecondsAfterFinished: it stays readable';
COMMENT ON COLUMN chaingraph.executions.deleted_at IS
    'when its resource, or that of an execution above it, was found deleted: from then on it is not shown';
COMMENT ON COLUMN chaingraph.executions.flow_revision IS 'null for a child whose flow was not found';
COMMENT ON COLUMN chaingraph.executions.held_at IS
    'since when it waits for its start: set by a retry; null means since created_at';
COMMENT ON COLUMN chaingraph.executions.subflow IS
    'subflow of the revision that it runs instead of the flow; empty for the flow itself';
COMMENT ON COLUMN chaingraph.executions.position IS
    'number among the children of its parent, from 0; null without a parent';
COMMENT ON COLUMN chaingraph.executions.called_by IS
    'path of the call in its parent that it is; empty for a child of an emission, and for that of onExit';
COMMENT ON COLUMN chaingraph.executions.called_in IS
    'attempt of the parent, and try of its node, that called it: 2.1. Only the attempt for the child of onExit';
COMMENT ON COLUMN chaingraph.executions.exit_subflow IS
    'subflow that runs after the end of the attempt; empty for none, and until the first claim';
COMMENT ON COLUMN chaingraph.executions.exit_attempt IS 'the last attempt whose exit_subflow was created';
COMMENT ON COLUMN chaingraph.executions.attempts IS 'how earlier attempts ended, the newest last';
COMMENT ON COLUMN chaingraph.executions.run IS
    'number of its workflow; grows with every retry and with every resume after a parking';
COMMENT ON COLUMN chaingraph.executions.ran_ms IS 'how long the attempt has run, without its pauses';
COMMENT ON COLUMN chaingraph.executions.start_logged IS 'flow:started is in the log of this attempt';
COMMENT ON COLUMN chaingraph.executions.pause_logged IS
    'flow:paused is the last of flow:paused and flow:resumed in the log of this attempt';
COMMENT ON COLUMN chaingraph.executions.owner_epoch IS
    'grows with every change of owner; fences the writes of a former one';
COMMENT ON COLUMN chaingraph.executions.worker_pool IS
    'pool of the worker that claimed this attempt last; empty for none';
COMMENT ON COLUMN chaingraph.executions.worker_version IS
    'version of that worker: while one of that pool and version lives, no other claims it. Empty for none';
COMMENT ON COLUMN chaingraph.executions.lost_worker IS 'the worker that was lost, until another one has taken over';
COMMENT ON COLUMN chaingraph.executions.losses IS 'workers lost since a node has ended, whatever ran next to it';
COMMENT ON COLUMN chaingraph.executions.recoveries IS
    'workers lost since a node has ended, in which it ran alone: losses that count against it';
COMMENT ON COLUMN chaingraph.executions.recovered_nodes IS 'nodes that had ended when the last worker was lost';
COMMENT ON COLUMN chaingraph.executions.running_nodes IS
    'of the first nodes that run or wait: node, tries, max_tries, since and next_at in milliseconds since 1970, and'
    ' waits_for; after a flow timeout or a stop, of the interrupted nodes';
COMMENT ON COLUMN chaingraph.executions.error_details IS
    'path of the node that caused the failure, reason, message and details of it; null when no node caused it';
COMMENT ON COLUMN chaingraph.executions.wants_pause IS 'spec.paused, as it was last carried out';
COMMENT ON COLUMN chaingraph.executions.paused IS
    'the debugger is to hold nodes back: paused by a command, or at a breakpoint';
COMMENT ON COLUMN chaingraph.executions.pause_node IS 'node whose breakpoint paused it; empty for a pause by command';
COMMENT ON COLUMN chaingraph.executions.parked IS
    'paused, or asleep, and no worker has it: the journal keeps its progress';
COMMENT ON COLUMN chaingraph.executions.asleep_at IS
    'since when all that is left of it waits; the time from then to wake_at counts as running time';
COMMENT ON COLUMN chaingraph.executions.wake_at IS
    'when its first wait is over, or its flow times out; null unless it is asleep';
COMMENT ON COLUMN chaingraph.executions.control_seq IS 'number of the last command';
COMMENT ON COLUMN chaingraph.executions.pause_seq IS 'number of the last PAUSE or RESUME';
COMMENT ON COLUMN chaingraph.executions.applied_seq IS 'number of the last command that the engine has carried out';
COMMENT ON COLUMN chaingraph.executions.signal_count IS 'signals that were accepted: see the table signals';
COMMENT ON COLUMN chaingraph.executions.step_seqs IS 'numbers of the STEP commands that may not have been carried out';
COMMENT ON COLUMN chaingraph.executions.retry_refusal IS
    'why the retry of retry_token was refused, as the reason of the condition; retry_refusal_message is its message';
COMMENT ON COLUMN chaingraph.executions.used_tokens IS
    'tokens that were used, each after its kind and a colon, the newest last';
COMMENT ON COLUMN chaingraph.executions.tree_stopped IS
    'everything below it was stopped, by its own stop or by that of an execution above it';
COMMENT ON COLUMN chaingraph.executions.resources IS 'whether children, and theirs, get resources';
COMMENT ON COLUMN chaingraph.executions.children_total IS
    'children, those included that are still to be spawned';
COMMENT ON COLUMN chaingraph.executions.children_spawned IS 'children that exist';
COMMENT ON COLUMN chaingraph.executions.children_called IS
    'of these, the ones that nodes have called, and those of onExit; the others are those of the first emissions';
COMMENT ON COLUMN chaingraph.executions.children_suppressed IS
    'children that are never spawned, because a stop or a deletion came before';
COMMENT ON COLUMN chaingraph.executions.children_unspawned IS
    'children still to be spawned: a column, so that the planner knows how few executions have any';
COMMENT ON COLUMN chaingraph.executions.children_active IS
    'children not yet spawned, not ended, or with something below them that has not ended; as far as they were counted';
COMMENT ON COLUMN chaingraph.executions.parent_notified IS 'its end is in the log of its parent';
COMMENT ON COLUMN chaingraph.executions.counted IS 'it is no longer among the active children of its parent';

-- The change feed.
CREATE INDEX executions_change_seq ON chaingraph.executions (change_seq);
-- Reads by name, and in the order of creation: of one namespace, and of all.
CREATE INDEX executions_named ON chaingraph.executions (namespace, name);
CREATE INDEX executions_roots ON chaingraph.executions (namespace, created_at, id) WHERE parent_id IS NULL;
CREATE INDEX executions_roots_of_all ON chaingraph.executions (created_at, id) WHERE parent_id IS NULL;
CREATE INDEX executions_active ON chaingraph.executions (namespace, name)
    WHERE phase NOT IN ('Completed', 'Failed', 'Stopped');
-- Handed back, and waiting for a worker of their version. Nearly always none; running executions are not in it, so that
-- a flush does not cost more.
CREATE INDEX executions_pinned ON chaingraph.executions (worker_pool, worker_version)
    WHERE phase = 'Pending' AND worker_version <> '';
-- Executions that are asleep, in the order in which they continue.
CREATE INDEX executions_wake_at ON chaingraph.executions (wake_at) WHERE wake_at IS NOT NULL;
-- Pruning.
CREATE INDEX executions_ended ON chaingraph.executions (finished_at, id)
    WHERE parent_id IS NULL AND finished_at IS NOT NULL;
-- Ended executions whose resource exists as far as the ledger knows. The operator's sweep reads it page by page.
CREATE INDEX executions_standing ON chaingraph.executions (id) INCLUDE (uid, change_seq)
    WHERE uid IS NOT NULL AND deleted_at IS NULL AND expired_at IS NULL
      AND phase IN ('Completed', 'Failed', 'Stopped');
-- Removal of revisions, and the look-up of the foreign key. With the queue, because the role of a pool may read the
-- revisions of its own executions, and executions of others may have the same.
CREATE INDEX executions_flow_revision ON chaingraph.executions (flow_revision, queue);
-- Children of an execution, all of a tree, and executions with children level by level, as pages of a tree are read.
CREATE INDEX executions_children ON chaingraph.executions (parent_id, position) INCLUDE (phase)
    WHERE parent_id IS NOT NULL;
CREATE INDEX executions_tree ON chaingraph.executions (root_id, phase) WHERE parent_id IS NOT NULL;
CREATE INDEX executions_parents ON chaingraph.executions (root_id, depth, id) WHERE children_total > 0;
-- Executions that still have to spawn.
CREATE INDEX executions_spawning ON chaingraph.executions (id) WHERE children_unspawned > 0;
-- Executions whose onExit is due. Nearly always none.
CREATE INDEX executions_exiting ON chaingraph.executions (id)
    WHERE exit_subflow <> '' AND phase IN ('Completed', 'Failed', 'Stopped') AND exit_attempt < attempt
      AND deleted_at IS NULL;
-- Children whose parent has still to be notified that they have ended, or that everything below them has.
CREATE INDEX executions_uncounted ON chaingraph.executions (parent_id)
    WHERE parent_id IS NOT NULL AND finished_at IS NOT NULL AND NOT counted
      AND (NOT parent_notified OR children_active = 0);
-- Children that are to have a resource and have none: the roots of a namespace take turns, and the oldest child of a
-- tree comes first.
CREATE INDEX executions_unshown ON chaingraph.executions (namespace, root_id, created_at, id)
    WHERE parent_id IS NOT NULL AND uid IS NULL AND resources = 'Create';

-- Shared by all executions of a tree. Created with the first child.
CREATE TABLE chaingraph.trees (
    root_id  text PRIMARY KEY REFERENCES chaingraph.executions (id) ON DELETE CASCADE,
    size     bigint NOT NULL DEFAULT 1,
    clock_ms bigint NOT NULL DEFAULT 0
);
COMMENT ON COLUMN chaingraph.trees.size IS 'executions of the tree, spawned or to be spawned';
COMMENT ON COLUMN chaingraph.trees.clock_ms IS
    'place of its next child in the queue, as milliseconds since 1970: see docs/decisions/0006';

CREATE TABLE chaingraph.journal (
    execution_id text NOT NULL REFERENCES chaingraph.executions (id) ON DELETE CASCADE,
    node_id      text NOT NULL,
    attempt      integer NOT NULL,
    outcome      text NOT NULL CHECK (outcome IN ('completed', 'failed', 'skipped', 'waiting')),
    record       json NOT NULL,
    PRIMARY KEY (execution_id, node_id)
);

-- What was sent to nodes from outside. The journal says which of them nodes have taken.
CREATE TABLE chaingraph.signals (
    execution_id    text NOT NULL REFERENCES chaingraph.executions (id) ON DELETE CASCADE,
    id              text NOT NULL,
    seq             bigint,
    name            text NOT NULL,
    payload         json NOT NULL DEFAULT 'null',
    size            integer NOT NULL DEFAULT 0,
    sender          text NOT NULL DEFAULT '',
    attempt         integer NOT NULL,
    at              timestamptz NOT NULL DEFAULT now(),
    refusal         text NOT NULL DEFAULT '',
    refusal_message text NOT NULL DEFAULT '',
    PRIMARY KEY (execution_id, id),
    CONSTRAINT signals_refused CHECK ((seq IS NULL) = (refusal <> ''))
);
COMMENT ON COLUMN chaingraph.signals.id IS 'chosen by the sender: the same id is delivered once';
COMMENT ON COLUMN chaingraph.signals.seq IS 'number among the commands of the execution; null when it was refused';
COMMENT ON COLUMN chaingraph.signals.size IS 'bytes of the payload';
COMMENT ON COLUMN chaingraph.signals.sender IS 'the user who sent it; empty when that is not known';
COMMENT ON COLUMN chaingraph.signals.attempt IS 'the attempt of the execution in which it came';

CREATE TABLE chaingraph.events (
    execution_id text NOT NULL REFERENCES chaingraph.executions (id) ON DELETE CASCADE,
    index        bigint NOT NULL,
    type         text NOT NULL,
    at           timestamptz NOT NULL,
    data         json NOT NULL,
    PRIMARY KEY (execution_id, index)
);


-- Workers ---------------------------------------------------------------------------------------------------------

CREATE TABLE chaingraph.catalogues (
    hash       text PRIMARY KEY,
    catalogue  json NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE chaingraph.workers (
    executor_id         text PRIMARY KEY,
    application_name    text NOT NULL,
    application_version text NOT NULL,
    pool                text NOT NULL DEFAULT '',
    host                text NOT NULL,
    pod                 text NOT NULL DEFAULT '',
    queues              text[] NOT NULL,
    concurrency         integer NOT NULL,
    catalogue_hash      text NOT NULL REFERENCES chaingraph.catalogues (hash),
    started_at          timestamptz NOT NULL DEFAULT now(),
    renewed_at          timestamptz NOT NULL DEFAULT now(),
    expires_at          timestamptz NOT NULL,
    draining            boolean NOT NULL DEFAULT false,
    revoked             boolean NOT NULL DEFAULT false,
    retired             boolean NOT NULL DEFAULT false,
    serving             boolean NOT NULL DEFAULT true
);
COMMENT ON COLUMN chaingraph.workers.revoked IS 'its work was handed back: the lease cannot be renewed any more';
COMMENT ON COLUMN chaingraph.workers.retired IS
    'it is to take only executions that are pinned to its version: set by the operator';
COMMENT ON COLUMN chaingraph.workers.serving IS
    'it may still take executions that are not pinned to its version: set by itself';
CREATE INDEX workers_expires_at ON chaingraph.workers (expires_at);


-- Operators -------------------------------------------------------------------------------------------------------

CREATE TABLE chaingraph.cluster (
    one          boolean PRIMARY KEY DEFAULT true CHECK (one),
    uid          text NOT NULL,
    authority    text NOT NULL,
    adopted_from text NOT NULL DEFAULT '',
    adoptions    bigint NOT NULL DEFAULT 0,
    recorded_at  timestamptz NOT NULL DEFAULT now(),
    CHECK (uid <> '' OR authority <> '')
);
COMMENT ON TABLE chaingraph.cluster IS 'one row: the cluster whose resources the executions stand for';
COMMENT ON COLUMN chaingraph.cluster.uid IS 'UID of its namespace kube-system; empty where no operator could read it';
COMMENT ON COLUMN chaingraph.cluster.authority IS
    'fingerprint of the certificates its API server is verified by; empty where none are configured';
COMMENT ON COLUMN chaingraph.cluster.adopted_from IS 'the cluster that it belonged to before';
COMMENT ON COLUMN chaingraph.cluster.adoptions IS
    'how often another cluster has taken the ledger over; fences the operators of the former one';

CREATE TABLE chaingraph.operators (
    lease    text PRIMARY KEY,
    epoch    bigint NOT NULL,
    holder   text NOT NULL,
    taken_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE chaingraph.operators IS 'the leader, of operators that elect it by a Lease';
COMMENT ON COLUMN chaingraph.operators.lease IS 'the Lease, as namespace/name';
COMMENT ON COLUMN chaingraph.operators.epoch IS 'counts the leaders; writes of an earlier one are refused';

-- All operators share the lock, and a successor takes it alone: so nothing of the former one is under way when the
-- successor begins. Only in a function of its own does the check see what was committed while it waited for the lock:
-- within a statement, everything is as it was at its beginning.
CREATE FUNCTION chaingraph.may_operate(known_adoptions bigint, of_lease text, known_epoch bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(-995800407, 1);
    RETURN EXISTS (SELECT FROM chaingraph.cluster WHERE adoptions = known_adoptions)
        AND (of_lease IS NULL
             OR EXISTS (SELECT FROM chaingraph.operators WHERE lease = of_lease AND epoch = known_epoch));
END
$$;


-- Upkeep ----------------------------------------------------------------------------------------------------------

-- Tasks that one process does for all. `due_at` is the earliest time of the next run.
CREATE TABLE chaingraph.upkeep (
    task   text PRIMARY KEY,
    due_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO chaingraph.upkeep (task) VALUES ('stranded'), ('forget');

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
COMMENT ON TABLE chaingraph.erasures IS
    'audit: one row for each erasure, without any content of the erased executions. Never removed by ChainGraph';


-- Namespaces ------------------------------------------------------------------------------------------------------

CREATE TABLE chaingraph.namespace_policies (
    namespace        text PRIMARY KEY,
    queues           text[],
    max_running      integer CHECK (max_running >= 0),
    max_waiting      integer CHECK (max_waiting >= 0),
    max_priority     integer,
    weight           double precision NOT NULL DEFAULT 1 CHECK (weight > 0),
    max_ledger_bytes bigint CHECK (max_ledger_bytes >= 0),
    egress           text[] NOT NULL DEFAULT '{}',
    updated_at       timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE chaingraph.namespace_policies IS
    'limits of namespaces; written by the operator from the annotations of the Namespaces. The row with an empty name'
    ' holds the defaults; null means no limit';
COMMENT ON COLUMN chaingraph.namespace_policies.queues IS 'names of queues; null for all';
COMMENT ON COLUMN chaingraph.namespace_policies.egress IS
    'CIDRs that the HTTP nodes of the namespace may reach besides public addresses';

-- Start-time fair queueing: when the last run of a namespace would end if each took one unit of time for each unit of
-- weight. The row with the namespace '*' holds the virtual time of the queue.
CREATE TABLE chaingraph.queue_shares (
    queue     text NOT NULL,
    namespace text NOT NULL,
    finish    double precision NOT NULL,
    PRIMARY KEY (queue, namespace)
) WITH (fillfactor = 50);

-- How many bytes executions take, of namespaces that have a limit. Kept by the operator.
CREATE TABLE chaingraph.ledger_sizes (
    execution_id text PRIMARY KEY REFERENCES chaingraph.executions (id) ON DELETE CASCADE,
    namespace    text NOT NULL,
    bytes        bigint NOT NULL,
    change_seq   bigint NOT NULL
);
COMMENT ON COLUMN chaingraph.ledger_sizes.change_seq IS 'of the execution when it was measured';
CREATE INDEX ledger_sizes_namespace ON chaingraph.ledger_sizes (namespace) INCLUDE (bytes);


-- Roles of pools, and the queue -----------------------------------------------------------------------------------

-- The database decides which rows the workers of a pool may touch. `chaingraph-worker migrate` creates the policies: it
-- knows the roles. See docs/decisions/0015.
CREATE TABLE chaingraph.pool_roles (
    role   text PRIMARY KEY,
    pools  text[] NOT NULL,
    queues text[] NOT NULL
);
COMMENT ON TABLE chaingraph.pool_roles IS
    'database roles that are restricted to the work of their pools; written by the migration';
-- For a worker that checks its rights. It names roles, pools and queues, and nothing else.
GRANT SELECT ON chaingraph.pool_roles TO PUBLIC;

-- The pool role of the caller: '' for the owner of the tables and for every role without a pool.
CREATE FUNCTION chaingraph.pool_role() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT coalesce(min(p.role), '') FROM chaingraph.pool_roles p JOIN pg_catalog.pg_roles r ON r.rolname = p.role
    WHERE pg_catalog.row_security_active('chaingraph.executions') AND pg_catalog.pg_has_role(r.oid, 'USAGE')
$$;

-- Whether a row that refers to this execution may be written. Volatile, so that it sees rows of the same statement: an
-- event of a child is written together with the child.
CREATE FUNCTION chaingraph.sees_execution(execution text) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    RETURN EXISTS (SELECT FROM chaingraph.executions e WHERE e.id = execution);
END
$$;

-- The id for a seed, as `chaingraph_crds.ids.derived` derives it.
CREATE FUNCTION chaingraph.derived_id(seed text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT 'EX' || string_agg(
        substr('ABCDEFGHIJKLMNOPQRSTUVWXYZ234567', substring(digest.bits FROM digit * 5 + 1 FOR 5)::integer + 1, 1), ''
        ORDER BY digit)
    FROM (SELECT ('x' || encode(substring(sha256(convert_to('chaingraph.dev/' || seed, 'UTF8')) FROM 1 FOR 15), 'hex')
                 )::bit(120) AS bits) digest,
         generate_series(0, 23) AS digit
$$;

-- The functions below read the rows of all pools, for any caller. They return numbers, names of executors and booleans.

-- Whether a row of `executions` is a child that its parent creates: of an emission, of a node's call, or of onExit. See
-- `chaingraph_store.ids`.
CREATE FUNCTION chaingraph.is_child(
    child text, of_parent text, of_root text, of_namespace text, of_queue text, at_depth integer, at_position integer,
    of_revision text, of_subflow text, of_call text, of_try text
) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM chaingraph.executions p
        WHERE p.id = of_parent AND p.root_id = of_root AND p.namespace = of_namespace AND p.queue = of_queue
          AND p.depth + 1 = at_depth
          AND (of_revision IS NULL OR of_revision = p.flow_revision OR EXISTS (
              SELECT FROM chaingraph.flows f WHERE f.namespace = of_namespace AND f.revision = of_revision))
          AND child = chaingraph.derived_id(CASE
              WHEN of_call <> '' THEN 'call/' || of_parent || '/' || of_try || '/' || of_call
              WHEN of_subflow <> '' THEN 'exit/' || of_parent || '/' || of_try
              ELSE 'child/' || of_parent || '/' || at_position - p.children_called END)
          AND (of_call <> '' OR of_subflow <> '' OR at_position BETWEEN p.children_called AND p.children_total - 1))
$$;

-- Whether DBOS knows this version of the application.
CREATE FUNCTION chaingraph.knows_version(version text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (SELECT FROM dbos.application_versions v WHERE v.version_name = version)
$$;

-- How many executions of a namespace wait, in all queues; counts as far as `enough`.
CREATE FUNCTION chaingraph.waiting_executions(of_namespace text, enough integer) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT count(*) FROM (
        SELECT FROM chaingraph.executions e
        WHERE e.namespace = of_namespace AND e.phase NOT IN ('Completed', 'Failed', 'Stopped')
          AND (e.phase IN ('Pending', 'Created') OR e.parked)
        LIMIT enough) waiting
$$;

-- The running executions of each namespace: of all queues together, for `max-running`; of this queue and its builds; of
-- this queue alone.
CREATE FUNCTION chaingraph.running_by_namespace(of_application text, from_queue text)
RETURNS TABLE (namespace text, anywhere bigint, here bigint, of_queue bigint)
LANGUAGE sql STABLE ROWS 10 SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(w.queue_partition_key, ''), count(*),
           count(*) FILTER (WHERE split_part(q.name, '@', 1) = split_part(from_queue, '@', 1)),
           count(*) FILTER (WHERE q.name = from_queue)
    FROM dbos.queues q CROSS JOIN LATERAL (
        SELECT s.queue_partition_key FROM dbos.workflow_status s
        WHERE s.queue_name = q.name AND s.status = 'PENDING'
          AND (s.application_name = of_application OR s.application_name IS NULL) OFFSET 0) w
    WHERE q.name <> 'chaingraph-held' GROUP BY 1
$$;

-- The executors that have claimed work of an application and hold no valid lease. A loose index scan
-- (chaingraph_pending): one probe for each executor with work, however much it has.
CREATE FUNCTION chaingraph.all_lost_executors(of_application text) RETURNS SETOF text
LANGUAGE sql STABLE ROWS 5 SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH RECURSIVE executor AS (
        (SELECT executor_id AS id FROM dbos.workflow_status
         WHERE status = 'PENDING' AND application_name = of_application AND executor_id IS NOT NULL
         ORDER BY executor_id LIMIT 1)
        UNION ALL
        SELECT (SELECT w.executor_id FROM dbos.workflow_status w
                WHERE w.status = 'PENDING' AND w.application_name = of_application AND w.executor_id > executor.id
                ORDER BY w.executor_id LIMIT 1)
        FROM executor WHERE executor.id IS NOT NULL
    )
    SELECT executor.id FROM executor
    WHERE executor.id IS NOT NULL AND NOT EXISTS (
        SELECT FROM chaingraph.workers o WHERE o.executor_id = executor.id AND o.expires_at > now())
$$;
-- Those of them whose work the caller may hand back.
CREATE FUNCTION chaingraph.lost_executors(of_application text) RETURNS SETOF text LANGUAGE sql STABLE ROWS 5 AS $$
    SELECT lost.id FROM chaingraph.all_lost_executors(of_application) AS lost (id)
    WHERE NOT EXISTS (
        SELECT FROM chaingraph.pool_roles p JOIN chaingraph.workers o ON o.executor_id = lost.id
        WHERE p.role = chaingraph.pool_role() AND NOT (o.pool = ANY (p.pools) AND o.queues <@ p.queues))
$$;

-- Gives a worker the next runs of a queue. The namespace with the fewest running executions for its weight comes first,
-- then the one that was served least; within a namespace priority and place decide. Two calls take turns, so that two
-- workers do not exceed a limit together. A function, because the query after the lock has to see what was committed
-- meanwhile. It runs with the rights of the caller, so the role of a pool gets nothing from the queue of another one.
CREATE FUNCTION chaingraph.take(
    from_queue text,        -- DBOS's name: of a build, it has an '@'
    for_executor text,
    for_application text,
    for_version text,
    with_owner text,
    free integer,           -- slots of this worker that are free, guest slots included
    guests integer,         -- of the worker's slots: those for namespaces with nothing running in the queue
    queue_limit integer     -- runs of the queue at once, over all workers; null for no limit
) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    base text := split_part(from_queue, '@', 1);
    latest text;
BEGIN
    IF free <= 0 OR NOT EXISTS (SELECT FROM dbos.workflow_status w
                                WHERE w.queue_name = from_queue AND w.status = 'ENQUEUED') THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(-995800407, 2);
    SELECT version_name INTO latest FROM dbos.application_versions
    WHERE application_name = for_application OR application_name IS NULL ORDER BY version_timestamp DESC LIMIT 1;
    RETURN QUERY
    WITH RECURSIVE tenant AS (
        -- One step of the index for each namespace, whatever waits.
        (SELECT w.queue_partition_key AS namespace FROM dbos.workflow_status w
         WHERE w.queue_name = from_queue AND w.status = 'ENQUEUED' AND w.queue_partition_key IS NOT NULL
         ORDER BY w.queue_partition_key LIMIT 1)
        UNION ALL
        SELECT (SELECT w.queue_partition_key FROM dbos.workflow_status w
                WHERE w.queue_name = from_queue AND w.status = 'ENQUEUED' AND w.queue_partition_key > tenant.namespace
                ORDER BY w.queue_partition_key LIMIT 1)
        FROM tenant WHERE tenant.namespace IS NOT NULL
    ), running AS MATERIALIZED (
        SELECT * FROM chaingraph.running_by_namespace(for_application, from_queue)
    ), clock AS (
        SELECT coalesce((SELECT finish FROM chaingraph.queue_shares
                         WHERE queue = base AND namespace = '*'), 0) AS time
    ), share AS MATERIALIZED (
        SELECT t.namespace, coalesce(r.here, 0) AS here,
               greatest(0, least(free, coalesce(CASE WHEN p.namespace IS NULL THEN d.max_running ELSE p.max_running END
                                                - coalesce(r.anywhere, 0), free)))::integer AS room,
               coalesce(p.weight, d.weight, 1) AS weight,
               greatest(coalesce(s.finish, 0), clock.time) AS start
        FROM (SELECT namespace FROM tenant WHERE namespace IS NOT NULL UNION ALL SELECT '') t
        CROSS JOIN clock
        LEFT JOIN running r ON r.namespace = t.namespace
        LEFT JOIN chaingraph.namespace_policies p ON p.namespace = t.namespace
        LEFT JOIN chaingraph.namespace_policies d ON d.namespace = ''
        LEFT JOIN chaingraph.queue_shares s ON s.queue = base AND s.namespace = t.namespace
    ), candidate AS MATERIALIZED (
        SELECT share.namespace, head.workflow_uuid, head.created_at, share.here + head.number = 1 AS guest,
               (share.here + head.number - 1) / share.weight AS load,
               share.start + (head.number - 1) / share.weight AS start,
               share.start + head.number / share.weight AS finish
        FROM share CROSS JOIN LATERAL (
            SELECT first.*, row_number() OVER (ORDER BY first.priority, first.created_at, first.workflow_uuid) AS number
            FROM (SELECT w.workflow_uuid, w.priority, w.created_at FROM dbos.workflow_status w
                  WHERE w.queue_name = from_queue AND w.status = 'ENQUEUED'
                    AND w.queue_partition_key = share.namespace AND share.namespace <> ''
                    AND (w.application_version = for_version
                         OR w.application_version IS NULL AND coalesce(latest, for_version) = for_version)
                    AND (w.application_name = for_application OR w.application_name IS NULL)
                  ORDER BY w.priority, w.created_at, w.workflow_uuid LIMIT share.room) first
            UNION ALL
            SELECT first.*, row_number() OVER (ORDER BY first.priority, first.created_at, first.workflow_uuid)
            FROM (SELECT w.workflow_uuid, w.priority, w.created_at FROM dbos.workflow_status w
                  WHERE w.queue_name = from_queue AND w.status = 'ENQUEUED'
                    AND w.queue_partition_key IS NULL AND share.namespace = ''
                    AND (w.application_version = for_version
                         OR w.application_version IS NULL AND coalesce(latest, for_version) = for_version)
                    AND (w.application_name = for_application OR w.application_name IS NULL)
                  ORDER BY w.priority, w.created_at, w.workflow_uuid LIMIT share.room) first
        ) head
    ), ranked AS (
        SELECT candidate.*, row_number() OVER (ORDER BY candidate.load, candidate.start, candidate.created_at,
                                               candidate.workflow_uuid) AS turn
        FROM candidate
    ), allowed AS (
        SELECT ranked.* FROM ranked
        WHERE ranked.guest OR ranked.turn <= least(free - guests, coalesce(
            queue_limit - (SELECT coalesce(sum(running.of_queue), 0) FROM running), free))
    ), taken AS MATERIALIZED (
        -- What somebody else has locked, as a stop of its tree, keeps nobody waiting.
        SELECT w.workflow_uuid, allowed.namespace, allowed.turn, allowed.start, allowed.finish
        FROM allowed JOIN dbos.workflow_status w ON w.workflow_uuid = allowed.workflow_uuid
        WHERE w.status = 'ENQUEUED' AND w.queue_name = from_queue
        ORDER BY allowed.turn LIMIT free FOR UPDATE OF w SKIP LOCKED
    ), served AS (
        INSERT INTO chaingraph.queue_shares (queue, namespace, finish)
        SELECT base, each.namespace, max(each.finish) FROM taken each GROUP BY each.namespace
        UNION ALL
        SELECT base, '*', max(each.start) FROM taken each HAVING count(*) > 0
        ON CONFLICT (queue, namespace) DO UPDATE SET finish = greatest(queue_shares.finish, excluded.finish)
    ), given AS (
        UPDATE dbos.workflow_status w
        SET status = 'PENDING', owner_xid = with_owner, application_version = for_version, executor_id = for_executor,
            application_name = for_application, rate_limited = false, recovery_attempts = w.recovery_attempts + 1,
            started_at_epoch_ms = (extract(epoch FROM clock_timestamp()) * 1000)::bigint,
            updated_at = (extract(epoch FROM clock_timestamp()) * 1000)::bigint
        FROM taken WHERE w.workflow_uuid = taken.workflow_uuid
        RETURNING w.workflow_uuid, taken.turn
    )
    SELECT given.workflow_uuid FROM given ORDER BY given.turn;
END
$$;
