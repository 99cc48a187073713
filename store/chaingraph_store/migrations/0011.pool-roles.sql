-- Roles of pools: what a pool's workers may touch is decided by the database. The policies themselves are made by
-- `chaingraph-worker migrate`, which knows the roles. See docs/decisions/0015.
-- depends: 0010.runs

-- The functions name DBOS's tables, which a database of ours alone does not have yet.
SET LOCAL check_function_bodies = off;

CREATE TABLE chaingraph.pool_roles (
    role   text PRIMARY KEY,
    pools  text[] NOT NULL,
    queues text[] NOT NULL
);
COMMENT ON TABLE chaingraph.pool_roles IS 'database roles that are kept to the work of their pools; written by the migration';
-- For a worker that looks what it may do. It names roles, pools and queues, and nothing else.
GRANT SELECT ON chaingraph.pool_roles TO PUBLIC;

-- With the queue, because a pool's role may read the revisions that its own executions run, and others may run them too.
DROP INDEX chaingraph.executions_flow_revision;
CREATE INDEX executions_flow_revision ON chaingraph.executions (flow_revision, queue);

-- The pool role of who asks: '' for the owner of the tables and for every role that is not kept to a pool.
CREATE FUNCTION chaingraph.pool_role() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT coalesce(min(p.role), '') FROM chaingraph.pool_roles p JOIN pg_catalog.pg_roles r ON r.rolname = p.role
    WHERE pg_catalog.row_security_active('chaingraph.executions') AND pg_catalog.pg_has_role(r.oid, 'USAGE')
$$;

-- Whether a row may be written that refers to this execution. Volatile: only then it sees what the statement that writes
-- the row has itself made, as an event of a child that was made with it.
CREATE FUNCTION chaingraph.sees_execution(execution text) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    RETURN EXISTS (SELECT FROM chaingraph.executions e WHERE e.id = execution);
END
$$;

-- The id that an emission of this number gives a child, as `chaingraph_store.ids.child_execution_id` derives it.
CREATE FUNCTION chaingraph.child_execution_id(parent text, emission integer) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT 'EX' || string_agg(
        substr('ABCDEFGHIJKLMNOPQRSTUVWXYZ234567', substring(digest.bits FROM digit * 5 + 1 FOR 5)::integer + 1, 1), ''
        ORDER BY digit)
    FROM (SELECT ('x' || encode(substring(sha256(convert_to('chaingraph.dev/child/' || parent || '/' || emission, 'UTF8'))
                                          FROM 1 FOR 15), 'hex'))::bit(120) AS bits) digest,
         generate_series(0, 23) AS digit
$$;

-- The functions below look at all pools' rows, whoever asks. They tell numbers, and whether something is so.

-- Whether a row of `executions` is what its parent makes of an emission.
CREATE FUNCTION chaingraph.is_child(
    child text, of_parent text, of_root text, of_namespace text, of_queue text, at_depth integer, at_position integer,
    of_revision text
) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT child = chaingraph.child_execution_id(of_parent, at_position) AND EXISTS (
        SELECT FROM chaingraph.executions p
        WHERE p.id = of_parent AND p.root_id = of_root AND p.namespace = of_namespace AND p.queue = of_queue
          AND p.depth + 1 = at_depth AND at_position BETWEEN 0 AND p.children_total - 1
          AND (of_revision IS NULL OR of_revision = p.flow_revision OR EXISTS (
              SELECT FROM chaingraph.flows f WHERE f.namespace = of_namespace AND f.revision = of_revision)))
$$;

-- Whether DBOS knows this version of the application.
CREATE FUNCTION chaingraph.knows_version(version text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (SELECT FROM dbos.application_versions v WHERE v.version_name = version)
$$;

-- How many executions of a namespace wait, counted as far as `enough`, in whatever queues.
CREATE FUNCTION chaingraph.waiting_executions(of_namespace text, enough integer) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT count(*) FROM (
        SELECT FROM chaingraph.executions e
        WHERE e.namespace = of_namespace AND e.phase NOT IN ('Completed', 'Failed', 'Stopped')
          AND (e.phase IN ('Pending', 'Created') OR e.parked)
        LIMIT enough) waiting
$$;

-- The running executions of each namespace: of all queues together, which `max-running` is about; of this queue and its
-- builds; of this queue alone.
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

-- The executors that have claimed work of an application and hold no lease that is still good: of those, whose work the
-- caller may hand back. A loose index scan (chaingraph_pending): a probe for each executor with work, however much it has.
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
CREATE FUNCTION chaingraph.lost_executors(of_application text) RETURNS SETOF text LANGUAGE sql STABLE ROWS 5 AS $$
    SELECT lost.id FROM chaingraph.all_lost_executors(of_application) AS lost (id)
    WHERE NOT EXISTS (
        SELECT FROM chaingraph.pool_roles p JOIN chaingraph.workers o ON o.executor_id = lost.id
        WHERE p.role = chaingraph.pool_role() AND NOT (o.pool = ANY (p.pools) AND o.queues <@ p.queues))
$$;

-- Gives a worker the next runs of a queue. The namespace with the fewest running executions for its weight comes first,
-- then the one that was served least; within a namespace priority and place decide. Takes turns with itself, so that no
-- two workers exceed a limit together. In a function: the look after the lock has to see what was committed meanwhile.
-- It runs with the rights of who calls it, so a pool's role is given nothing of another pool's queue.
CREATE OR REPLACE FUNCTION chaingraph.take(
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
