"""Entries of `spec.signals`: payloads for nodes that wait."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from chaingraph_crds import limits
from chaingraph_crds.model import ApiModel, Token, kubernetes


class SignalSender(ApiModel):
    """The user who sends a signal. The API server admits no other user's name here."""

    user: str = Field(
        description="Name of the user, as `kubectl auth whoami` prints it.", min_length=1, max_length=limits.MAX_USER
    )
    groups: list[Annotated[str, Field(min_length=1, max_length=limits.MAX_GROUP)]] = Field(
        default_factory=list,
        max_length=limits.MAX_GROUPS,
        description="Groups of the user; those that matter are enough.",
        json_schema_extra=kubernetes(list_type="set"),
    )


class Signal(ApiModel):
    """Something sent to a node that waits for it. Each id is delivered once."""

    id: Token = Field(description="Any word that this Execution has not seen. `kubectl chaingraph signal` makes one.")
    name: str = Field(
        description="Name of the signal: the `name` of a WaitForSignal or Approval node, or the id of the node.",
        min_length=1,
        max_length=limits.MAX_EVENT_NAME,
    )
    payload: Any = Field(
        default=None,
        description="Any JSON value that fits the node's `schema`. To an Approval: `{approved: true, answer: …, "
        "comment: …}`.",
    )
    by: SignalSender | None = Field(
        default=None, description="The user who sends it. An Approval needs it, and the approver has to be the caller."
    )
