"""Find the execution of a request, if the caller may see it.

A caller without the right gets the same answer, 403, for an existing execution and for an unknown id, so that ids
cannot be probed. 404 is for callers with the right: in the execution's namespace when requested by name, in all
namespaces when requested by id.
"""

from __future__ import annotations

import re
import shlex
import ssl
from collections.abc import Callable, Iterable
from typing import Final

from aiohttp import web

from chaingraph_crds import names
from chaingraph_gateway.access.authentication import Authenticator, Caller
from chaingraph_gateway.access.authorization import Authorizer, Right
from chaingraph_gateway.cluster import Cluster
from chaingraph_gateway.errors import BadRequest, Forbidden, NotFound, Unauthenticated
from chaingraph_gateway.reader import Reader
from chaingraph_gateway.reads import documents
from chaingraph_store.ids import ExecutionId
from chaingraph_store.reads import details
from chaingraph_store.reads.details import Address
from chaingraph_store.reads.visibility import NamespaceIdentity

LOG: Final = "log"
"""Subresource of an execution's events and journal, which contain its data."""
ADDRESS: Final = web.RequestKey("address", str)
"""Key of a request's client address; see `addresses`."""
_ID: Final = re.compile(r"EX[A-Z2-7]{24}")
_NAMESPACE: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_NAME: Final = re.compile(r"(?=.{1,253}$)[a-z0-9]([-.a-z0-9]*[a-z0-9])?")


class Access:
    """Authenticates callers, and authorizes their access to executions.

    Args:
        trusts: whether the current client CA verified a connection's client certificate.
    """

    def __init__(
        self,
        authenticator: Authenticator,
        authorizer: Authorizer,
        reader: Reader,
        cluster: Cluster,
        *,
        trusts: Callable[[ssl.SSLObject | None], bool],
    ) -> None:
        self._cluster = cluster
        self._authenticator = authenticator
        self._authorizer = authorizer
        self._reader = reader
        self._trusts = trusts

    async def caller(self, request: web.Request) -> Caller:
        """Authenticate the caller.

        Raises:
            Unauthenticated, TooMany, ServiceUnavailable: see `Authenticator.caller`.
        """
        certificate = request.get_extra_info("peercert")
        if certificate and not self._trusts(request.get_extra_info("ssl_object")):
            raise Unauthenticated(
                "the cluster's client CA has changed since this connection was opened; reconnect, so that the client "
                "certificate is verified again"
            )
        headers = request.headers.getall("Authorization", [])
        if len(headers) > 1:
            raise Unauthenticated("Authorization: duplicate header; send it once")
        return await self._authenticator.caller(headers[0] if headers else None, certificate, request[ADDRESS])

    async def again(self, request: web.Request, found: Address, subresource: str) -> None:
        """Check again whether the caller may still see the execution, for long answers.

        Raises:
            Unauthenticated, Forbidden, NotFound: no longer.
            ServiceUnavailable: that is unknown.
        """
        await self.demand(await self.caller(request), Right("get", subresource, found.namespace, found.name))
        async with self._reader.connection() as connection:
            if await details.address(connection, found.id) is None:
                raise NotFound(f"execution {found.id} is no longer in the database")

    async def execution(self, request: web.Request, caller: Caller, subresource: str = "") -> Address:
        """Return the execution of the request's path.

        Args:
            caller: the authenticated caller.
            subresource: `log` when that right is needed, '' when `get executions` is enough.

        Raises:
            Forbidden: the caller may not see it, or must not know whether it exists.
            NotFound: there is none.
            BadRequest: the path has no valid id, namespace or name.
            ServiceUnavailable: PostgreSQL or the API server does not answer.
        """
        if "id" in request.match_info:
            return await self._by_id(caller, execution_id(request.match_info["id"]), subresource)
        where = namespace(request.match_info["namespace"])
        return await self._by_name(caller, where, name("name", request.match_info["name"]), subresource)

    async def _by_name(self, caller: Caller, where: str, called: str, subresource: str) -> Address:
        await self.demand(caller, Right("get", subresource, where, called))
        found = deleted = None
        if (current := await self._cluster.namespace(where)) is not None:
            async with self._reader.connection() as connection:
                found = await details.newest_named(connection, where, called, of=current)
                if found is None:
                    deleted = await details.deleted_named(connection, where, called, of=current)
        if found is None:
            former = f"; the one of this name was deleted at {documents.time(deleted)}" if deleted else ""
            raise NotFound(
                f"execution {called!r} not found in namespace {where!r}{former}. One just applied appears once "
                "the operator has processed it: see its conditions",
                namespace=where,
                name=called,
                deletedTime=documents.time(deleted),
            )
        return found

    async def _by_id(self, caller: Caller, execution: ExecutionId, subresource: str) -> Address:
        async with self._reader.connection() as connection:
            found = await details.address(connection, execution)
        if found is not None and not await self._is_shown(found):
            found = None
        right = Right("get", subresource, found.namespace, found.name) if found else Right("get", subresource)
        if not await self._authorizer.allows(caller, right):
            raise Forbidden(
                f"{caller.name} may not {right.verb} {right.resource} in the namespace of execution {execution}, or "
                f"it does not exist; {_grant(caller, right, where='NAMESPACE')}",
                user=caller.name,
                rule=right.rule(),
            )
        if found is None:
            raise NotFound(f"execution {execution} not found", id=execution)
        return found

    async def _is_shown(self, found: Address) -> bool:
        current = await self._cluster.namespace(found.namespace)
        if current is None:
            return False
        async with self._reader.connection() as connection:
            return await details.is_shown(connection, found.id, current)

    async def namespaces(self, names_: Iterable[str]) -> dict[str, NamespaceIdentity]:
        """Return the namespaces that have these names now; without those that do not exist.

        Raises:
            ServiceUnavailable: the API server does not answer.
        """
        found = {each: await self._cluster.namespace(each) for each in set(names_)}
        return {each: current for each, current in found.items() if current is not None}

    async def demand(self, caller: Caller, right: Right) -> None:
        """Require a right.

        Raises:
            Forbidden: the caller does not have it; the message names the rule.
            ServiceUnavailable: the API server does not answer.
        """
        if await self._authorizer.allows(caller, right):
            return
        where = f"namespace {right.namespace!r}" if right.namespace else "all namespaces"
        raise Forbidden(
            f"{caller.name} may not {right.verb} {right.resource} in {where}; "
            f"{_grant(caller, right, where=right.namespace)}",
            user=caller.name,
            namespace=right.namespace,
            rule=right.rule(),
        )


def _grant(caller: Caller, right: Right, *, where: str) -> str:
    """Describe how an administrator can grant the right. `where` is a namespace, '' means all of them."""
    resource = f"{names.EXECUTION_PLURAL}.{names.GROUP}" + (f"/{right.subresource}" if right.subresource else "")
    kind, scope = ("role", f" -n {where}") if where else ("clusterrole", "")
    role = f"chaingraph-{right.verb}-{right.subresource or names.EXECUTION_PLURAL}"
    return (
        f"missing rule: apiGroups [{names.GROUP}], resources [{right.resource}], verbs [{right.verb}]; to grant it: "
        f"`kubectl create {kind} {role} --verb={right.verb} --resource={resource}{scope}` and "
        f"`kubectl create {kind}binding {role} --{kind}={role} --user={shlex.quote(caller.name)}{scope}`"
    )


def execution_id(text: str) -> ExecutionId:
    """Parse an execution's id in a path.

    Raises:
        BadRequest: it is not an id.
    """
    if not _ID.fullmatch(text):
        raise BadRequest("id", text, "is not an execution id; use status.executionID: EX and 24 letters and digits")
    return ExecutionId(text)


def namespace(text: str) -> str:
    """Parse a namespace's name.

    Raises:
        BadRequest: it is not valid.
    """
    if not _NAMESPACE.fullmatch(text):
        raise BadRequest("namespace", text, "is not a namespace name; use lower-case letters, digits and -")
    return text


def name(field: str, text: str) -> str:
    """Parse the name of a resource.

    Raises:
        BadRequest: it is not valid.
    """
    if not _NAME.fullmatch(text):
        raise BadRequest(field, text, "is not a resource name; use lower-case letters, digits, - and .")
    return text
