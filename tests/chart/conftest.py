"""What the tests of the chart share; the rest is in `tests/fixtures`."""

from fixtures.chart_release import release
from fixtures.helm import helm
from fixtures.monitoring.promtool import promtool, promtool_program

__all__ = ["helm", "promtool", "promtool_program", "release"]
