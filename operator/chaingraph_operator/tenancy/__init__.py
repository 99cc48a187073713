"""Tenancy: namespace policies, admission and accounting."""
