"""The worker's side of its runners: it makes, watches and ends them, and has an engine in each.

fork_server  the connection to the process that makes runners
runner       one runner: its process, its connection, and how it ended
pool         all runners: who is free, who is silent, who has grown too large
engine       an engine in a runner, seen from here
killed       tries that ended with their process, and what is said of them
"""
