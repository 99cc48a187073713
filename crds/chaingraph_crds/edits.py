"""When an edit of an Execution's spec takes effect, for each field. For the reference; a test keeps it complete."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class EditEffect(StrEnum):
    """The effect of an edit, in the words of the reference."""

    REFUSED = "Refused by the API server."
    AT_ONCE = "Takes effect immediately."
    TOKEN = "A token: a new one takes effect immediately, a used one never again."
    QUEUE = (
        "Takes effect each time the execution is in its queue: immediately while it waits there, otherwise when it "
        "returns to the queue, as after a retry, a resume or the loss of its worker. A priority above the maximum of "
        "the namespace is ignored: condition `SpecIgnored`."
    )
    BEGINNING = (
        "Takes effect immediately until the attempt starts to run; after that with the next attempt, as the condition "
        "`SpecIgnored` shows."
    )
    START = (
        "Takes effect immediately while the execution waits for its start, also when it is shorter. Once the "
        "attempt has started to run it has no effect, as the condition `SpecIgnored` shows."
    )
    SIGNALS = (
        "Each new id takes effect once, immediately. An entry that was delivered may be removed. The API server "
        "refuses other changes of entries."
    )
    WITH_STOP = "Read with the edit that sets `stop`. A later edit has no effect."
    WITH_TOKEN = "Refused by the API server, except together with a new `retry.token`."
    STOP = "Takes effect immediately. Reverting it is refused, except together with a new `retry.token`."
    END = "Takes effect immediately, also after the end."


EDITS: Final[Mapping[str, EditEffect]] = {
    "flowRef": EditEffect.REFUSED,
    "flow": EditEffect.REFUSED,
    "spawnedBy": EditEffect.REFUSED,
    "inputs": EditEffect.REFUSED,
    "events": EditEffect.REFUSED,
    "integration": EditEffect.REFUSED,
    "queue": EditEffect.REFUSED,
    "paused": EditEffect.AT_ONCE,
    "step": EditEffect.TOKEN,
    "resume": EditEffect.TOKEN,
    "signals": EditEffect.SIGNALS,
    "stop": EditEffect.STOP,
    "stopReason": EditEffect.WITH_STOP,
    "retry.token": EditEffect.TOKEN,
    "retry.from": EditEffect.WITH_TOKEN,
    "retry.node": EditEffect.WITH_TOKEN,
    "retry.flowRevision": EditEffect.WITH_TOKEN,
    "options.maxConcurrency": EditEffect.BEGINNING,
    "options.nodeTimeoutSeconds": EditEffect.BEGINNING,
    "options.flowTimeoutSeconds": EditEffect.BEGINNING,
    "options.debug": EditEffect.BEGINNING,
    "options.breakpoints": EditEffect.AT_ONCE,
    "startTimeoutSeconds": EditEffect.START,
    "priority": EditEffect.QUEUE,
    "ttlSecondsAfterFinished": EditEffect.END,
    "children.resources": EditEffect.REFUSED,
    "children.onStop": EditEffect.END,
}
"""By the path below `spec`. While the execution does not exist yet, as when it waits for its Flow, any edit counts."""
