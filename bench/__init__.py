"""Benchmarks. `make bench NAME=throughput` runs `bench/throughput.py` and writes `bench/results/throughput.json`.

A bar is a ratio within one run, never a number of seconds: what it is compared with runs on the same machine in the
same minutes.

    throughput   executions a second through the API, beside plain DBOS with the reference's steps
    start        from `kubectl apply` to the first node, beside a bare write to the same API server
"""
