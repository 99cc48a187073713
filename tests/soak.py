"""Plays the random tests for as long as it is told, each round with a new seed: `make soak SOAK_SECONDS=3600`.

Ends with 1 after the first round that fails, and prints the command that plays that round again.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Final

_FACTOR: Final = 5
"""How many times the usual number of examples a round draws."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3600, help="rounds begin for this long (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="play the round of this seed alone")
    options = parser.parse_args(arguments)
    began, rounds = time.monotonic(), 0
    while rounds == 0 or (options.seed is None and time.monotonic() - began < options.seconds):
        rounds += 1
        seed = random.randrange(2**31) if options.seed is None else options.seed
        print(f"round {rounds}, seed {seed}, {time.monotonic() - began:.0f} s of {options.seconds:.0f}", flush=True)
        if _play(seed) != 0:
            print(f"round {rounds} failed. Play it again: python tests/soak.py --seed {seed}", file=sys.stderr)
            return 1
    print(f"{rounds} rounds passed in {time.monotonic() - began:.0f} s")
    return 0


def _play(seed: int) -> int:
    environment = {"CHAINGRAPH_SOAK_SEED": str(seed), "CHAINGRAPH_SOAK_FACTOR": str(_FACTOR)}
    options = ["-m", "soak", "-n", "2", "--dist=worksteal", f"--randomly-seed={seed}", f"--hypothesis-seed={seed}"]
    # Half an hour for a test: it plays several times as long as in `make test`.
    command = [sys.executable, "-m", "pytest", *options, "--quiet", "--timeout=1800", "--override-ini=timeout=1800"]
    return subprocess.run(command, env=os.environ | environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
