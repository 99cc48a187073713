ALTER TABLE chaingraph.flows DROP COLUMN reason;
