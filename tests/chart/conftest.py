"""What the tests of the chart share; the rest is in `tests/fixtures`."""

from fixtures.helm import helm

__all__ = ["helm"]
