"""What the tests of the chart share; the rest is in `tests/fixtures`."""

from fixtures.chart_release import release
from fixtures.helm import helm

__all__ = ["helm", "release"]
