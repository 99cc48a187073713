-- Operators that have been replaced, by another one or by another cluster's, write nothing more.
-- depends: 0005.children

ALTER TABLE chaingraph.cluster ADD COLUMN adoptions bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN chaingraph.cluster.adoptions IS 'how often another cluster has taken the ledger over; fences the operators of the former one';

CREATE TABLE chaingraph.operators (
    lease    text PRIMARY KEY,
    epoch    bigint NOT NULL,
    holder   text NOT NULL,
    taken_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE chaingraph.operators IS 'who leads, of the operators that elect their leader by a Lease';
COMMENT ON COLUMN chaingraph.operators.lease IS 'the Lease, as namespace/name';
COMMENT ON COLUMN chaingraph.operators.epoch IS 'counts the leaders; what an earlier one writes is refused';

-- The lock is shared by all who operate and exclusive to who takes their place, so nothing of the former is under way
-- when the latter begins. Only in a function of its own does the look that follows see what was committed while the
-- lock was waited for: within a statement everything is as it was at its beginning.
CREATE FUNCTION chaingraph.may_operate(known_adoptions bigint, of_lease text, known_epoch bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(-995800407, 1);
    RETURN EXISTS (SELECT FROM chaingraph.cluster WHERE adoptions = known_adoptions)
        AND (of_lease IS NULL
             OR EXISTS (SELECT FROM chaingraph.operators WHERE lease = of_lease AND epoch = known_epoch));
END
$$;
