"""Nodes that wait for something from outside: a signal, or a person's approval. They hold no worker meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime

from chaingraph_flow.context import NodeContext, Signal
from chaingraph_flow.errors import NodeFailed
from chaingraph_flow.node import Input, Node, Output
from chaingraph_flow.ports import types as t
from chaingraph_flow.ports.derive import Given

_NAME = "Name of the signal; empty for the id of this node."
_PEOPLE = t.Array(items=t.String(min_length=1), nullable=True)


class WaitForSignal(Node):
    """Waits for a signal from outside, and passes its payload on. `timeoutSeconds` of the node limits the wait."""

    pure = True
    takes_signals = "name"
    name = Input(t.String(), static=True, description=_NAME)
    schema = Input(t.Any(), static=True, description="Type of the payload. A signal that does not fit it is refused.")
    payload = Output(t.Any(), typed_by=Given(input="schema"), optional=True, description="Payload of the signal.")
    id = Output(t.String(), description="Id of the signal.")
    at = Output(t.String(), description="When it was accepted: RFC 3339, UTC.")

    async def run(self, context: NodeContext) -> None:
        """Wait for the signal, and take it."""
        signal = context.woken.signal if context.woken is not None else None
        if signal is None:
            context.wait_for_signal()
        self.payload = signal.payload
        self.id = signal.id
        self.at = _time(signal)


class Approval(Node):
    """Asks a person, and waits for the answer. Only the approvers can give it. Connect `approved` to `__execute`."""

    pure = True
    takes_signals = "name"
    prompt = Input(t.String(min_length=1), required=True, description="Question to the approver.")
    approvers = Input(
        t.Object(properties={"users": _PEOPLE, "groups": _PEOPLE}),
        required=True,
        static=True,
        description="Users who may answer, by names of Kubernetes users and groups: {groups: [release-managers]}.",
    )
    schema = Input(t.Any(), static=True, description="Type of the answer of an approval: the form to fill in.")
    name = Input(t.String(), static=True, description=_NAME)
    approved = Output(t.Boolean(), description="True when it was approved.")
    rejected = Output(t.Boolean(), description="True when it was rejected.")
    answer = Output(t.Any(), typed_by=Given(input="schema"), optional=True, description="The answer that was given.")
    comment = Output(t.String(), description="Comment of the person, or empty.")
    by = Output(t.String(), description="The user who answered.")
    at = Output(t.String(), description="When: RFC 3339, UTC.")

    async def run(self, context: NodeContext) -> None:
        """Wait for the answer, and take it."""
        signal = context.woken.signal if context.woken is not None else None
        if signal is None:
            context.wait_for_signal(prompt=self.prompt, approval=True)
        given = signal.payload
        if not isinstance(given, dict) or not isinstance(given.get("approved"), bool):
            raise NodeFailed("the payload of an approval needs `approved`: true or false")
        self.approved = given["approved"]
        self.rejected = not self.approved
        self.answer = given.get("answer")
        self.comment = given.get("comment") or ""
        self.by = signal.by
        self.at = _time(signal)


def _time(signal: Signal) -> str:
    return datetime.fromtimestamp(signal.at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
