"""What the tests of the chart share; the rest is in `tests/fixtures`."""

from fixtures.chart.helm import helm
from fixtures.chart.release import release
from fixtures.monitoring.promtool import promtool, promtool_program

__all__ = ["helm", "promtool", "promtool_program", "release"]
