"""Plays the random tests for as long as it is told: `make soak SOAK_SECONDS=3600`.

Beside each other: one installation with hostile and honest tenants, for all of the time, and rounds of all other random
tests, each with a new seed. Ends with 1 after the first failure, and prints the command that plays that again.
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

TENANTS: Final = "tests/security/test_hostile_objects_mix.py"
_FACTOR: Final = 5
"""How many times the usual number of examples a round draws."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3600, help="rounds begin for this long (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="play the round of this seed alone")
    options = parser.parse_args(arguments)
    if options.seed is not None:
        return _play(options.seed, []).wait()
    began, rounds = time.monotonic(), 0
    seeds = {"tenants": random.randrange(2**31)}
    print(f"one installation of three tenants, seed {seeds['tenants']}", flush=True)
    settings = {"CHAINGRAPH_SOAK_SECONDS": str(options.seconds)}
    playing = {"tenants": _play(seeds["tenants"], [TENANTS, "--capture=no", "-n0"], **settings)}
    try:
        while playing:
            if "rounds" not in playing and time.monotonic() - began < options.seconds:
                rounds += 1
                seeds["rounds"] = random.randrange(2**31)
                print(f"round {rounds}, seed {seeds['rounds']}, {time.monotonic() - began:.0f} s", flush=True)
                playing["rounds"] = _play(seeds["rounds"], ["-n1", f"--deselect={TENANTS}"])
            time.sleep(1)
            for what, code in [(what, each.poll()) for what, each in playing.items()]:
                if code == 0:
                    del playing[what]
                elif code is not None:
                    print(f"The {what} failed: python tests/soak.py --seed {seeds[what]}", file=sys.stderr)
                    return 1
    finally:
        for each in playing.values():
            if each.poll() is None:
                each.terminate()
                each.wait()
    print(f"the tenants and {rounds} rounds passed in {time.monotonic() - began:.0f} s")
    return 0


def _play(seed: int, options: Sequence[str], **settings: str) -> subprocess.Popen[bytes]:
    environment = {"CHAINGRAPH_SOAK_SEED": str(seed), "CHAINGRAPH_SOAK_FACTOR": str(_FACTOR)} | settings
    usual = ["-m", "soak", f"--randomly-seed={seed}", f"--hypothesis-seed={seed}", "--quiet"]
    # Half an hour for a test: it plays several times as long as in `make test`.
    time_limit = ["--timeout=1800", "--override-ini=timeout=1800"]
    command = [sys.executable, "-m", "pytest", *usual, *time_limit, *options]
    return subprocess.Popen(command, env=os.environ | environment)


if __name__ == "__main__":
    sys.exit(main())
