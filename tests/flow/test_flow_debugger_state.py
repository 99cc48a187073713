"""The debugger's state machine by itself: what it holds, what it lets go, and which steps it owes."""

from __future__ import annotations

from chaingraph_flow import ControlState
from chaingraph_flow.engine.debugger import Debugger


def paused(**state: object) -> Debugger:
    return Debugger(ControlState(paused=True, pause_node="b", **state))  # type: ignore[arg-type]


def test_debugger_admits_nodes_without_pause_or_breakpoint() -> None:
    debugger = Debugger(ControlState())
    assert (debugger.paused, debugger.node, debugger.held) == (False, "", ())
    assert not debugger.stops("a")
    assert debugger.admits("a")


def test_pause_stops_nodes_and_keeps_first_reason() -> None:
    debugger = Debugger(ControlState())
    assert debugger.pause("first")
    assert not debugger.pause("second")
    assert debugger.node == "first"
    assert not debugger.admits("a")
    assert not debugger.hold("a")
    assert debugger.resume() == ("a",)
    assert (debugger.paused, debugger.node, debugger.held) == (False, "", ())
    assert debugger.admits("a")


def test_breakpoint_stops_node_once() -> None:
    debugger = Debugger(ControlState(breakpoints=["a", "unknown"]))
    assert debugger.stops("a")
    assert debugger.hold("a")
    assert debugger.held == ("a",)
    assert not debugger.hold("a")
    assert debugger.resume() == ("a",)
    assert debugger.admits("a")
    assert not debugger.stops("b")


def test_breakpoint_ignores_passed_node() -> None:
    debugger = Debugger(ControlState(breakpoints=["a"], passed=["a"]))
    assert debugger.admits("a")
    debugger.set_breakpoints(["b"])
    debugger.exempt("b")
    assert debugger.admits("b")


def test_breakpoint_set_on_held_node_has_no_effect() -> None:
    debugger = paused()
    debugger.hold("a")
    debugger.set_breakpoints(["a"])
    assert debugger.resume() == ("a",)
    assert debugger.admits("a")


def test_set_breakpoints_replaces_earlier_ones() -> None:
    debugger = Debugger(ControlState(breakpoints=["a"]))
    debugger.set_breakpoints(["b"])
    assert (debugger.stops("a"), debugger.stops("b")) == (False, True)


def test_step_releases_only_held_nodes() -> None:
    debugger = paused()
    debugger.hold("a")
    debugger.hold("b")
    assert debugger.step() == ("a", "b")
    assert debugger.held == ()
    assert debugger.paused
    assert debugger.admits("a")
    assert not debugger.admits("a"), "another try of it needs another step"
    assert not debugger.admits("c")
    assert debugger.pay() == ()


def test_step_releases_nodes_on_the_way() -> None:
    debugger = paused(breakpoints=["a"])
    assert debugger.step(on_the_way=["a", "b"]) == ()
    assert debugger.admits("a")
    assert debugger.admits("b")
    assert debugger.step(on_the_way=["c"]) == ()
    assert debugger.step(on_the_way=["c"]) == (), "the second step is owed: the first was for what is on its way"
    debugger.hold("d")
    assert debugger.pay() == ("d",)


def test_step_with_nothing_held_is_owed_to_next_nodes() -> None:
    debugger = paused()
    debugger.step()
    debugger.step()
    assert debugger.pay() == ()
    debugger.hold("a")
    debugger.hold("b")
    assert debugger.pay() == ("a", "b")
    debugger.hold("c")
    assert debugger.pay() == ("c",)
    debugger.hold("d")
    assert debugger.pay() == ()


def test_resume_cancels_owed_steps_and_releases() -> None:
    debugger = paused(steps=2)
    debugger.hold("a")
    assert debugger.step() == ("a",)
    debugger.resume()
    debugger.pause("again")
    assert not debugger.admits("a"), "the step was for the pause before"
    debugger.hold("a")
    assert debugger.pay() == ()


def test_step_without_pause_has_no_effect() -> None:
    debugger = Debugger(ControlState(steps=1, pause_node="left from an earlier pause"))
    assert debugger.node == ""
    debugger.step()
    debugger.pause("asked")
    debugger.hold("a")
    assert debugger.pay() == ()


def test_step_stays_owed_until_released_nodes_start() -> None:
    debugger = paused()
    debugger.hold("a")
    debugger.hold("b")
    debugger.step()
    debugger.step()
    assert debugger.steps_owed == 2, "one for a and b, one for what comes next"
    assert debugger.admits("a")
    assert debugger.steps_owed == 2, "b has not begun"
    assert debugger.admits("b")
    assert debugger.steps_owed == 1
    debugger.hold("c")
    assert debugger.pay() == ("c",)
    assert debugger.admits("c")
    assert debugger.steps_owed == 0


def test_resume_clears_steps_owed() -> None:
    debugger = paused(steps=2)
    debugger.hold("a")
    debugger.step()
    assert debugger.steps_owed == 3
    debugger.resume()
    assert debugger.steps_owed == 0
