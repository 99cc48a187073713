"""The operator: makes executions of Execution resources, and statuses of what becomes of them.

Decisions are pure, effects are at the edge:

    keys, errors, settings, metrics   names of things, what can go wrong, the environment, the figures
    api                               the few requests of ours to the API server
    watching, handlers                kopf as the informer: every event goes into a cache and a queue, nothing more
    cache                             the objects as last seen, in little memory
    work_queue, controller            keys that wait for a worker; the workers
    flow_judgement, flows             is a Flow right; the reconciler of Flows and the index of who waits for one
    plan, status, conditions          what to do about an Execution, and what its status says (pure)
    executions                        the reconciler: carries out the plan in one transaction
    merge_patch, status_writer        as few status patches as possible
    announcements, kubernetes_events  which transitions are worth a Kubernetes Event; the poster
    feed, workforce                   what changed in the ledger; which workers, queues and node types there are
    recovery, sweep, retention        lost workers, lost deletions, expired executions
    main                              wiring; every part is crash-only
"""
