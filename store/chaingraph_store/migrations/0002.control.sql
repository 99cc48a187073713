-- What a running execution is told, and its attempts.
-- depends: 0001.ledger

-- The number of the workflow that runs it: every retry and every resume after a parking begins another one.
ALTER TABLE chaingraph.executions
    ADD COLUMN run           integer NOT NULL DEFAULT 1,
    ADD COLUMN wants_pause   boolean NOT NULL DEFAULT false,
    ADD COLUMN paused        boolean NOT NULL DEFAULT false,
    ADD COLUMN pause_reason  text NOT NULL DEFAULT '',
    ADD COLUMN start_logged  boolean NOT NULL DEFAULT false,
    ADD COLUMN pause_logged  boolean NOT NULL DEFAULT false,
    ADD COLUMN parked        boolean NOT NULL DEFAULT false,
    ADD COLUMN breakpoints   text[] NOT NULL DEFAULT '{}',
    ADD COLUMN step_token    text NOT NULL DEFAULT '',
    ADD COLUMN resume_token  text NOT NULL DEFAULT '',
    ADD COLUMN retry_token   text NOT NULL DEFAULT '',
    ADD COLUMN retry_refusal text NOT NULL DEFAULT '',
    ADD COLUMN control_seq   bigint NOT NULL DEFAULT 0,
    ADD COLUMN pause_seq     bigint NOT NULL DEFAULT 0,
    ADD COLUMN applied_seq   bigint NOT NULL DEFAULT 0,
    ADD COLUMN step_seqs     bigint[] NOT NULL DEFAULT '{}',
    ADD COLUMN ran_ms        bigint NOT NULL DEFAULT 0,
    ADD COLUMN on_stop       text NOT NULL DEFAULT 'Stop' CHECK (on_stop IN ('Stop', 'Continue')),
    ADD COLUMN attempts      json NOT NULL DEFAULT '[]',
    ADD CONSTRAINT executions_parked CHECK (NOT parked OR phase = 'Paused');

UPDATE chaingraph.executions SET start_logged = true WHERE started_at IS NOT NULL;

COMMENT ON COLUMN chaingraph.executions.run IS 'number of the workflow that runs it; grows with every retry and with every resume after a parking';
COMMENT ON COLUMN chaingraph.executions.wants_pause IS 'spec.paused, as it was last obeyed';
COMMENT ON COLUMN chaingraph.executions.paused IS 'the debugger is to hold nodes back: paused by a command, or at a breakpoint';
COMMENT ON COLUMN chaingraph.executions.start_logged IS 'flow:started is in the log of this attempt';
COMMENT ON COLUMN chaingraph.executions.pause_logged IS 'flow:paused is the last of flow:paused and flow:resumed in the log of this attempt';
COMMENT ON COLUMN chaingraph.executions.parked IS 'paused, and no worker has it: the journal keeps where it is';
COMMENT ON COLUMN chaingraph.executions.control_seq IS 'number of the last command';
COMMENT ON COLUMN chaingraph.executions.pause_seq IS 'number of the last PAUSE or RESUME';
COMMENT ON COLUMN chaingraph.executions.applied_seq IS 'number of the last command that the engine has carried out';
COMMENT ON COLUMN chaingraph.executions.step_seqs IS 'numbers of the STEP commands that may not have been carried out';
COMMENT ON COLUMN chaingraph.executions.retry_refusal IS 'why the retry that retry_token asks for was refused';
COMMENT ON COLUMN chaingraph.executions.ran_ms IS 'how long the attempt has run, without its pauses';
COMMENT ON COLUMN chaingraph.executions.attempts IS 'how earlier attempts ended, the newest last';
