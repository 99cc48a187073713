"""promtool, for the tests of this folder."""

from fixtures.monitoring.promtool import promtool, promtool_program

__all__ = ["promtool", "promtool_program"]
