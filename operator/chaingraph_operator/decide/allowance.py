"""Parse the policy in a Namespace's annotations. Pure.

A malformed annotation is reported, and the installation's default applies. A malformed list of networks adds none.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from chaingraph_crds import forms, limits, names
from chaingraph_flow.field_errors import suggestion
from chaingraph_store.queue.dispatch import TOP_PRIORITY
from chaingraph_store.tenancy.policies import NamespacePolicy

UNLIMITED: Final = "unlimited"
EVERY_QUEUE: Final = "*"
MAX_ENTRIES: Final = 256
"""Maximum number of queues or networks in a list."""
MAX_COUNT: Final = 1_000_000_000
MAX_WEIGHT: Final = 1000
_UNITS: Final = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12} | {
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
}
_QUANTITY: Final = re.compile(r"([0-9]{1,15})(k|M|G|T|Ki|Mi|Gi|Ti)?")


def read(annotations: Mapping[str, str], defaults: NamespacePolicy) -> tuple[NamespacePolicy, tuple[str, ...]]:
    """Parse the policy of these annotations. Returns it with one line per problem."""
    policy, problems = defaults, list[str]()
    for name, text in sorted(annotations.items()):
        if not name.startswith(f"{names.GROUP}/"):
            continue
        field = _FIELDS.get(name)
        if field is None:
            problems.append(f"{name}: unknown annotation{suggestion(name, sorted(_FIELDS))}")
            continue
        column, parse = field
        try:
            value = parse(text.strip())
        except ValueError as error:
            problems.append(f"{name}: {_shown(text)} is not {error}. The installation's default applies")
        else:
            policy = replace(policy, **{column: value})
    return policy, tuple(problems)


def parse_queues(text: str) -> tuple[str, ...] | None:
    """Parse a list of queues, None for all. Raises ValueError with a description of valid values."""
    right = "a list of queues such as 'fast,slow', or '*' for all"
    if text == EVERY_QUEUE:
        return None
    queues = tuple(dict.fromkeys(each.strip() for each in text.split(",") if each.strip()))
    if len(queues) > MAX_ENTRIES:
        raise ValueError(f"{right}, at most {MAX_ENTRIES}")
    for each in queues:
        if names.reserved_queue(each):
            raise ValueError(f"{right}: {_shown(each)} is reserved")
        if len(each) > limits.MAX_IDENTIFIER or not re.fullmatch(forms.QUEUE, each, re.ASCII):
            raise ValueError(f"{right}: {_shown(each)} is not a queue name")
    return queues


def parse_count(text: str) -> int | None:
    """Parse a count, None for no limit. Raises ValueError with a description of valid values."""
    if text == UNLIMITED:
        return None
    return _integer(text, 0, MAX_COUNT, f"a number from 0 to {MAX_COUNT}, or '{UNLIMITED}'")


def parse_bytes(text: str) -> int | None:
    """Parse a Kubernetes quantity of bytes, None for no limit. Raises ValueError with a description of valid values."""
    if text == UNLIMITED:
        return None
    found = _QUANTITY.fullmatch(text)
    value = int(found[1]) * _UNITS[found[2] or ""] if found else -1
    if not 0 <= value < 2**63:
        raise ValueError(f"an amount of bytes such as '500Mi' or '10Gi', or '{UNLIMITED}'")
    return value


def _priority(text: str) -> int:
    return _integer(text, 0, TOP_PRIORITY, f"a number from 0 to {TOP_PRIORITY}")


def _weight(text: str) -> float:
    return float(_integer(text, 1, MAX_WEIGHT, f"a number from 1 to {MAX_WEIGHT}"))


def _integer(text: str, lowest: int, highest: int, right: str) -> int:
    if not re.fullmatch(r"[0-9]{1,10}", text) or not lowest <= int(text) <= highest:
        raise ValueError(right)
    return int(text)


def _networks(text: str) -> tuple[str, ...]:
    right = "a list of networks such as '10.20.0.0/16,fd00:1::/64'"
    found = list[str]()
    for each in filter(None, map(str.strip, text.split(","))):
        try:
            found.append(str(ipaddress.ip_network(each)))
        except ValueError:
            raise ValueError(f"{right}: {_shown(each)} is not a network, or has bits beyond its prefix") from None
    if len(found) > MAX_ENTRIES:
        raise ValueError(f"{right}, at most {MAX_ENTRIES}")
    return tuple(dict.fromkeys(found))


def _shown(text: str) -> str:
    shown = text if len(text) <= 60 else f"{text[:60]}…"
    return f"'{shown}'" if shown.isprintable() else ascii(shown)


_FIELDS: Final[Mapping[str, tuple[str, Callable[[str], Any]]]] = {
    names.QUEUES_ANNOTATION: ("queues", parse_queues),
    names.MAX_RUNNING_ANNOTATION: ("max_running", parse_count),
    names.MAX_WAITING_ANNOTATION: ("max_waiting", parse_count),
    names.MAX_PRIORITY_ANNOTATION: ("max_priority", _priority),
    names.WEIGHT_ANNOTATION: ("weight", _weight),
    names.MAX_LEDGER_BYTES_ANNOTATION: ("max_ledger_bytes", parse_bytes),
    names.EGRESS_ANNOTATION: ("egress", _networks),
}
