-- Why a Flow cannot be run, as a reason that children of events get. Before, all of them got FlowNotFound.
-- depends: 0012.running-nodes

ALTER TABLE chaingraph.flows ADD COLUMN reason text NOT NULL DEFAULT '';
COMMENT ON COLUMN chaingraph.flows.reason IS 'the problem in one word, as FlowInvalid or InvalidInputs';
