-- Gives a worker the next runs of a queue. The namespace with the fewest running executions for its weight comes first,
-- then the one that was served least; within a namespace priority and place decide. Takes turns with itself, so that no
-- two workers exceed a limit together. In a function: the look after the lock has to see what was committed meanwhile.
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
        SELECT coalesce(w.queue_partition_key, '') AS namespace, count(*) AS anywhere,
               count(*) FILTER (WHERE split_part(q.name, '@', 1) = base) AS here,
               count(*) FILTER (WHERE q.name = from_queue) AS of_queue
        FROM dbos.queues q CROSS JOIN LATERAL (
            SELECT s.queue_partition_key FROM dbos.workflow_status s
            WHERE s.queue_name = q.name AND s.status = 'PENDING'
              AND (s.application_name = for_application OR s.application_name IS NULL) OFFSET 0) w
        WHERE q.name <> 'chaingraph-held' GROUP BY 1
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
DROP FUNCTION chaingraph.lost_executors(text);
DROP FUNCTION chaingraph.all_lost_executors(text);
DROP FUNCTION chaingraph.running_by_namespace(text, text);
DROP FUNCTION chaingraph.waiting_executions(text, integer);
DROP FUNCTION chaingraph.knows_version(text);
DROP FUNCTION chaingraph.is_child(text, text, text, text, text, integer, integer, text);
DROP FUNCTION chaingraph.child_execution_id(text, integer);
DROP FUNCTION chaingraph.sees_execution(text);
DROP FUNCTION chaingraph.pool_role();
DROP TABLE chaingraph.pool_roles;
DROP INDEX chaingraph.executions_flow_revision;
CREATE INDEX executions_flow_revision ON chaingraph.executions (flow_revision);
