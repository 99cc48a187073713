"""The operator: makes executions of Execution resources, and statuses of what becomes of them.

Decisions are pure, effects are at the edge:

    keys, errors, settings, metrics   names of things, what can go wrong, the environment, the figures
    api                               the few requests of ours to the API server
    watching, handlers                kopf as the informer: every event goes into a cache and a queue, nothing more
    cache                             the objects as last seen, in little memory
    work_queue, controller            keys that wait for a worker; the workers
    flow_judgement, flows             is a Flow right; the reconciler of Flows and the index of who waits for one
    flow_names                        tells the ledger which flow a name stands for
    decisions, plan                   what can be done about an Execution; what is to be done now (pure)
    status, conditions                what its status says (pure)
    intake                            what is heard of executions, and whom that wakes
    executions                        the reconciler: carries out the plan in one transaction
    descendants, families             how children stand; their parents are told of them
    child_manifest, child_resources   the resources that stand for children, made at a bounded rate (pace)
    merge_patch, status_writer        as few status patches as possible
    announcements, kubernetes_events  which transitions are worth a Kubernetes Event; the poster
    feed, workforce                   what changed in the ledger; which workers, queues and node types there are
    sweep, retention                  lost deletions, expired executions
    main                              wiring; every part is crash-only
"""
