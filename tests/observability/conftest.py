"""promtool and a collector of traces, for the tests of this folder."""

from fixtures.monitoring.promtool import promtool, promtool_program
from fixtures.processes.otlp import collector

__all__ = ["collector", "promtool", "promtool_program"]
