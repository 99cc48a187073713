"""What the tests of the chart share; the rest is in `tests/fixtures`."""

import pytest

from fixtures.chart_release import release
from fixtures.helm import helm
from fixtures.monitoring.promtool import promtool, promtool_program

__all__ = ["helm", "promtool", "promtool_program", "release"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test that needs Helm may have to build it, which takes minutes."""
    for item in items:
        if "helm" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(900))
