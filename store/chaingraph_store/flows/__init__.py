"""Flow revisions, and the revision that each flow name refers to."""
