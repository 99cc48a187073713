"""The secrets that flows may use: read by the worker, for its runners, from the API server or from mounted files."""
