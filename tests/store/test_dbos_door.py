"""The tables and functions of DBOS are named in `chaingraph_store.queue` alone, so that another DBOS is met there."""

from __future__ import annotations

import re

from fixtures.paths import ROOT

_NAMED = re.compile(r"\bdbos\.[a-z]")
_QUEUE = "store/chaingraph_store/queue/"
_ALLOWED = {
    # One table of all tables: what is missing there gives a pool's role no right. It names them, and reads none.
    "store/chaingraph_store/pool_roles/policies.py",
}


def test_only_the_queue_names_the_tables_of_dbos() -> None:
    sources = [path for package in ROOT.glob("*/chaingraph_*") for path in package.rglob("*.py")]
    naming = {
        name
        for path in sources
        if _NAMED.search(path.read_text(encoding="utf-8"))
        and not (name := str(path.relative_to(ROOT))).startswith(_QUEUE)
    }
    assert naming == _ALLOWED
    assert any(_NAMED.search(path.read_text(encoding="utf-8")) for path in (ROOT / _QUEUE).glob("*.py"))
