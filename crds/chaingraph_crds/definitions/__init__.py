"""The definitions that a cluster gets: CRDs and admission policies, generated from the models."""
