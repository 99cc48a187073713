ALTER TABLE chaingraph.executions
    DROP CONSTRAINT executions_parked,
    DROP COLUMN run, DROP COLUMN wants_pause, DROP COLUMN paused, DROP COLUMN pause_reason, DROP COLUMN start_logged, DROP COLUMN pause_logged, DROP COLUMN parked,
    DROP COLUMN breakpoints, DROP COLUMN step_token, DROP COLUMN resume_token, DROP COLUMN retry_token,
    DROP COLUMN retry_refusal, DROP COLUMN control_seq, DROP COLUMN pause_seq, DROP COLUMN applied_seq, DROP COLUMN step_seqs,
    DROP COLUMN ran_ms, DROP COLUMN on_stop, DROP COLUMN attempts;
