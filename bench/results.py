"""The form of a benchmark's results, and its last words. Used by every benchmark."""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """`p50`, `p95` and `p99` of `n` measurements. A rate is measured once: all three are the same."""

    figure: str
    unit: str
    p50: float
    p95: float
    p99: float
    n: int

    @classmethod
    def of(cls, name: str, unit: str, values: Sequence[float]) -> Figure:
        ordered = sorted(values)

        def at(share: float) -> float:
            return round(ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)], 3)

        return cls(name, unit, round(statistics.median(ordered), 3), at(0.95), at(0.99), len(ordered))


def arguments(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--output", type=Path, required=True, help="where the results go, as JSON")
    return parser


def report(figures: Sequence[Figure], output: Path) -> None:
    """Writes the results and prints them as a table."""
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps([asdict(figure) for figure in figures], indent=2) + "\n", encoding="utf-8")
    print(f"{'figure':28} {'unit':>12} {'p50':>10} {'p95':>10} {'p99':>10} {'n':>6}")
    for each in figures:
        print(f"{each.figure:28} {each.unit:>12} {each.p50:>10} {each.p95:>10} {each.p99:>10} {each.n:>6}")
    print(f"written to {output}")
