"""`signal`, `approve` and `reject`: each adds an entry to `spec.signals`."""

from __future__ import annotations

import argparse
from typing import Any, Final

from chaingraph_cli.commands import Command
from chaingraph_cli.errors import NotAllowed, Usage
from chaingraph_cli.execution import Execution, describe
from chaingraph_cli.executions import files, guards, outcomes, waiting
from chaingraph_cli.executions.edits import SpecEdit, apply
from chaingraph_cli.executions.inputs import any_value
from chaingraph_cli.executions.signals import Entry, addition, caller
from chaingraph_cli.executions.targets import read_one
from chaingraph_cli.executions.tokens import new_token
from chaingraph_cli.executions.waiting import add_timeout
from chaingraph_cli.executions.without_resource import no_resource
from chaingraph_cli.kubectl import Kubectl

_SENT: Final = {"signal": "signal sent", "approve": "approval sent", "reject": "rejection sent"}
_DONE: Final = {"signal": "signal accepted", "approve": "approved", "reject": "rejected"}


def _add_wait(parser: argparse.ArgumentParser) -> None:
    waiting.add_wait(parser, bare=waiting.ACCEPTED)
    parser.add_argument(
        "--no-wait", dest="wait", action="store_const", const=None, help="Return once the API server has the entry."
    )
    parser.set_defaults(wait=waiting.ACCEPTED)
    add_timeout(parser, default=60)


def _signal_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="Name of the execution.")
    parser.add_argument("signal", metavar="SIGNAL", help="Name of the signal: that of the node, or the node's id.")
    given = parser.add_mutually_exclusive_group()
    given.add_argument("--payload", metavar="JSON", help="Payload: JSON, or else a string.")
    given.add_argument("-f", "--file", metavar="FILE", help="File with the payload as YAML or JSON; - for stdin.")
    parser.add_argument(
        "--id", metavar="ID", default="", help="Id of the signal. The same id is delivered once. Default: a new one."
    )
    _add_wait(parser)


def _signal(args: argparse.Namespace) -> int:
    entry: Entry = {"id": args.id or new_token(), "name": args.signal}
    if args.payload is not None:
        entry["payload"] = any_value(args.payload, "--payload")
    elif args.file:
        entry["payload"] = _from_file(args.file)
    kubectl = Kubectl.of(args)
    return _send(args, kubectl, read_one(kubectl, args.name, no_resource), "signal", entry)


def _from_file(file: str) -> Any:
    found = files.documents(file)
    if len(found) != 1:
        raise Usage(f"{file} has {len(found)} documents: a payload is one.")
    return found[0]


def _answer_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="Name of the execution.")
    parser.add_argument("node", metavar="NODE", nargs="?", default="", help="Node that asks, when several do.")
    parser.add_argument("--comment", metavar="TEXT", default="", help="Comment, for the record.")
    _add_wait(parser)


def _approve_arguments(parser: argparse.ArgumentParser) -> None:
    _answer_arguments(parser)
    parser.add_argument("--answer", metavar="JSON", help="Answer that the node asks for: JSON, or else a string.")


def _approve(args: argparse.Namespace) -> int:
    payload: Entry = {"approved": True}
    if args.answer is not None:
        payload["answer"] = any_value(args.answer, "--answer")
    return _answer(args, "approve", payload)


def _reject(args: argparse.Namespace) -> int:
    return _answer(args, "reject", {"approved": False})


def _answer(args: argparse.Namespace, verb: str, payload: Entry) -> int:
    kubectl = Kubectl.of(args)
    execution = read_one(kubectl, args.name, no_resource)
    asked = _asked(execution, args.node)
    if args.comment:
        payload["comment"] = args.comment
    entry = {"id": new_token(), "name": asked["signal"], "payload": payload, "by": caller(kubectl)}
    return _send(args, kubectl, execution, verb, entry)


def _asked(execution: Execution, node: str) -> dict[str, Any]:
    """Return the wait to answer.

    Raises:
        NotAllowed: the execution, or the node, asks nothing now.
        Usage: several nodes ask, and none was named.
    """
    asked = {str(each["node"]): each for each in execution.approvals}
    if not asked:
        raise NotAllowed(f"{execution.full_name} asks for no approval: it is {describe(execution)}.")
    if node and node not in asked:
        raise NotAllowed(f"{execution.full_name}: {node!r} asks for no approval now.", f"Asking: {', '.join(asked)}")
    if not node and len(asked) > 1:
        raise Usage(f"{execution.full_name} asks several times: name the NODE.", f"Asking: {', '.join(asked)}")
    return asked[node] if node else next(iter(asked.values()))


def _send(args: argparse.Namespace, kubectl: Kubectl, execution: Execution, verb: str, entry: Entry) -> int:
    edit = SpecEdit(
        lambda now: addition(now, entry),
        _SENT[verb],
        outcomes.signal_judged(entry["id"], _DONE[verb]),
        guards.signal,
    )
    return apply(kubectl, [execution], edit, wait=args.wait, timeout=args.timeout)


SIGNAL: Final = Command(
    """\
Send a signal to a node that waits for one, now or later. Adds an entry to spec.signals, and waits until the operator
has accepted it. A signal whose payload does not fit the schema of the node is refused, with exit code 3.""",
    _signal_arguments,
    _signal,
    examples="""
kubectl chaingraph signal order-17 paid --payload '{"amount": 12.5}'
kubectl chaingraph signal order-17 paid -f payment.yaml --id payment-4711
""",
)
APPROVE: Final = Command(
    """\
Give the approval that an execution waits for. Only the approvers of the node can. Adds an entry with your user name to
spec.signals; the API server admits no other name.""",
    _approve_arguments,
    _approve,
    examples="""
kubectl chaingraph approvals
kubectl chaingraph approve release-42 --comment "tested on staging"
kubectl chaingraph approve release-42 choose --answer '{"region": "eu"}'
""",
)
REJECT: Final = Command(
    """\
Refuse the approval that an execution waits for. Only the approvers of the node can.""",
    _answer_arguments,
    _reject,
    examples="""
kubectl chaingraph reject release-42 --comment "the changelog is empty"
""",
)
