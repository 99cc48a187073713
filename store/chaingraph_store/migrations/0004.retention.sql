-- Which cluster the ledger belongs to, and finding what may be removed from it.
-- depends: 0003.reading

CREATE TABLE chaingraph.cluster (
    one          boolean PRIMARY KEY DEFAULT true CHECK (one),
    uid          text NOT NULL,
    authority    text NOT NULL,
    adopted_from text NOT NULL DEFAULT '',
    recorded_at  timestamptz NOT NULL DEFAULT now(),
    CHECK (uid <> '' OR authority <> '')
);
COMMENT ON TABLE chaingraph.cluster IS 'one row: the cluster whose resources the executions stand for';
COMMENT ON COLUMN chaingraph.cluster.uid IS 'UID of its namespace kube-system; empty where no operator could read it';
COMMENT ON COLUMN chaingraph.cluster.authority IS 'fingerprint of the certificates its API server is verified by; empty where none are configured';
COMMENT ON COLUMN chaingraph.cluster.adopted_from IS 'the cluster that it belonged to before';

CREATE INDEX executions_ended ON chaingraph.executions (finished_at, id)
    WHERE parent_id IS NULL AND finished_at IS NOT NULL;
-- For the removal of revisions, and for the foreign key's own look-up when one is removed.
CREATE INDEX executions_flow_revision ON chaingraph.executions (flow_revision);
