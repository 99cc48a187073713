"""CHAINGRAPH_POOL_ROLES: the database role of each pool's workers, and the queues it may serve. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from chaingraph_crds.names import reserved_queue
from chaingraph_store.errors import SettingsRefused

VARIABLE: Final = "CHAINGRAPH_POOL_ROLES"
_EXAMPLE: Final = '{"billing": {"role": "chaingraph_worker_billing", "queues": ["billing"]}}'
_LONGEST_IDENTIFIER: Final = 63


@dataclass(frozen=True, slots=True)
class PoolRole:
    """A database role, with the pools whose workers use it and the queues that they may serve."""

    role: str
    pools: tuple[str, ...]
    queues: tuple[str, ...]


class _Pool(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    role: str = Field(min_length=1, max_length=_LONGEST_IDENTIFIER)
    queues: list[str] = Field(min_length=1)


_PoolName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=40)]
_SETTING: Final = TypeAdapter(dict[_PoolName, _Pool])


def parse(text: str) -> list[PoolRole]:
    """Parse the roles by name. Pools with the same role share all of its queues.

    Raises:
        SettingsRefused: the text is not a mapping of pools to a role and its queues.
    """
    try:
        pools = _SETTING.validate_json(text)
    except ValidationError as error:
        said = "; ".join(f"{_where(each['loc'])}{each['msg']}" for each in error.errors(include_url=False))
        raise SettingsRefused(f"{VARIABLE}: {said}. Write it as {_EXAMPLE}, or {{}} for none") from None
    by_role: dict[str, tuple[list[str], list[str]]] = {}
    for name, pool in pools.items():
        for queue in pool.queues:
            _check_queue(name, queue)
        its_pools, its_queues = by_role.setdefault(pool.role, ([], []))
        its_pools.append(name)
        its_queues += pool.queues
    return [PoolRole(role, tuple(sorted(its)), tuple(sorted(set(q)))) for role, (its, q) in sorted(by_role.items())]


def _where(location: tuple[int | str, ...]) -> str:
    path = ".".join(str(part) for part in location if part != "[key]")
    return f"{path}: " if path else ""


def _check_queue(pool: str, queue: str) -> None:
    if not queue or queue.strip() != queue or "@" in queue or "," in queue:
        raise SettingsRefused(
            f"{VARIABLE}: {pool}.queues has {queue!r}. Name a queue as in CHAINGRAPH_QUEUES, without spaces around it, "
            "'@' and ','"
        )
    if reserved_queue(queue):
        raise SettingsRefused(
            f"{VARIABLE}: {pool}.queues has {queue!r}, which is reserved. Name only queues of the pool"
        )
