"""From a request to the execution that it is about, if the caller may see it.

What is told to whom: a caller without the right gets the same answer, 403, for an execution that is there and for an id
that does not exist, so nobody can find out which ids exist. 404 is for those who have the right where the execution
would be: in its namespace when it is asked for by name, in all namespaces when it is asked for by id.
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
"""Subresource of what an execution has done and had in its hands: its events, its journal."""
ADDRESS: Final = web.RequestKey("address", str)
"""Where a request comes from; see `addresses`."""
_ID: Final = re.compile(r"EX[A-Z2-7]{24}")
_NAMESPACE: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_NAME: Final = re.compile(r"(?=.{1,253}$)[a-z0-9]([-.a-z0-9]*[a-z0-9])?")


class Access:
    """Who asks, and what they may see.

    Args:
        trusts: whether a connection's client certificate was verified by the client CA of now.
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
        """Who asks.

        Raises:
            Unauthenticated, TooMany, Away: see `Authenticator.caller`.
        """
        certificate = request.get_extra_info("peercert")
        if certificate and not self._trusts(request.get_extra_info("ssl_object")):
            raise Unauthenticated(
                "the cluster's client CA has changed since this connection was made; connect again, so that the client "
                "certificate is verified anew"
            )
        headers = request.headers.getall("Authorization", [])
        if len(headers) > 1:
            raise Unauthenticated("Authorization: the header is there twice; send it once")
        return await self._authenticator.caller(headers[0] if headers else None, certificate, request[ADDRESS])

    async def again(self, request: web.Request, found: Address, subresource: str) -> None:
        """Whether who asked may still see what was found, asked anew: for answers that last.

        Raises:
            Unauthenticated, Forbidden, NotFound: no longer.
            Away: nobody can say.
        """
        await self.demand(await self.caller(request), Right("get", subresource, found.namespace, found.name))
        async with self._reader.connection() as connection:
            if await details.address(connection, found.id) is None:
                raise NotFound(f"execution {found.id} is no longer in the ledger")

    async def execution(self, request: web.Request, caller: Caller, subresource: str = "") -> Address:
        """The execution of the request's path.

        Args:
            caller: who asks.
            subresource: `log` where that right is needed, '' where `get executions` is enough.

        Raises:
            Forbidden: the caller may not see it, or must not know whether it exists.
            NotFound: there is none.
            BadRequest: the path names no id, no namespace or no name.
            Away: PostgreSQL or the API server does not answer.
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
                f"the ledger has no execution {called!r} in the namespace {where!r}{former}; one that was applied just "
                "now appears when the operator has seen it: look at its conditions",
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
                f"there is no execution of that id; {_grant(caller, right, where='NAMESPACE')}",
                user=caller.name,
                rule=right.rule(),
            )
        if found is None:
            raise NotFound(f"the ledger has no execution {execution}", id=execution)
        return found

    async def _is_shown(self, found: Address) -> bool:
        current = await self._cluster.namespace(found.namespace)
        if current is None:
            return False
        async with self._reader.connection() as connection:
            return await details.is_shown(connection, found.id, current)

    async def namespaces(self, names_: Iterable[str]) -> dict[str, NamespaceIdentity]:
        """The namespaces that have these names now; without those that do not exist.

        Raises:
            Away: the API server does not answer.
        """
        found = {each: await self._cluster.namespace(each) for each in set(names_)}
        return {each: current for each, current in found.items() if current is not None}

    async def demand(self, caller: Caller, right: Right) -> None:
        """Goes on only with the right.

        Raises:
            Forbidden: the caller has it not; the message names the rule.
            Away: the API server does not answer.
        """
        if await self._authorizer.allows(caller, right):
            return
        where = f"the namespace {right.namespace!r}" if right.namespace else "all namespaces"
        raise Forbidden(
            f"{caller.name} may not {right.verb} {right.resource} in {where}; "
            f"{_grant(caller, right, where=right.namespace)}",
            user=caller.name,
            namespace=right.namespace,
            rule=right.rule(),
        )


def _grant(caller: Caller, right: Right, *, where: str) -> str:
    """What gives the right, for whoever may give it. `where` is a namespace, '' means all of them."""
    resource = f"{names.EXECUTION_PLURAL}.{names.GROUP}" + (f"/{right.subresource}" if right.subresource else "")
    kind, scope = ("role", f" -n {where}") if where else ("clusterrole", "")
    role = f"chaingraph-{right.verb}-{right.subresource or names.EXECUTION_PLURAL}"
    return (
        f"the rule that is missing: apiGroups [{names.GROUP}], resources [{right.resource}], verbs [{right.verb}]; "
        f"`kubectl create {kind} {role} --verb={right.verb} --resource={resource}{scope}` makes a role of it, "
        f"`kubectl create {kind}binding {role} --{kind}={role} --user={shlex.quote(caller.name)}{scope}` "
        "gives it to them"
    )


def execution_id(text: str) -> ExecutionId:
    """An execution's id in a path.

    Raises:
        BadRequest: it has not the form of one.
    """
    if not _ID.fullmatch(text):
        raise BadRequest(
            "id", text, "is no id of an execution; give the one of status.executionID: EX and 24 letters and digits"
        )
    return ExecutionId(text)


def namespace(text: str) -> str:
    """A namespace's name.

    Raises:
        BadRequest: it cannot be one.
    """
    if not _NAMESPACE.fullmatch(text):
        raise BadRequest("namespace", text, "is no name of a namespace; give lower-case letters, digits and -")
    return text


def name(field: str, text: str) -> str:
    """The name of a resource.

    Raises:
        BadRequest: it cannot be one.
    """
    if not _NAME.fullmatch(text):
        raise BadRequest(field, text, "is no name of a resource; give lower-case letters, digits, - and .")
    return text
