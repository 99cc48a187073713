DROP FUNCTION chaingraph.may_operate(bigint, text, bigint);
DROP TABLE chaingraph.operators;
ALTER TABLE chaingraph.cluster DROP COLUMN adoptions;
