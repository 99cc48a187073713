"""The exceptions of the store. Callers catch `StoreError`; the subclasses say what to do.

StoreError
├── SettingsRefused       a connection setting that cannot be right
├── SchemaOutdated        the database is not migrated: run `chaingraph-worker migrate`
├── OwnershipLost         somebody else owns the attempt: stop working on it, write nothing more
├── ConflictingExecution  an id is taken by an execution with another content
├── ConflictingRevision   a revision of a flow is taken by another content
├── ForeignLedger         the database belongs to another cluster: serve nothing from it
└── Superseded            another operator has taken this one's place: exit at once
"""


class StoreError(Exception):
    """Base of every error of this package."""


class SettingsRefused(StoreError):
    """A connection setting is unusable. The message names the variable, its value and what would be right."""


class SchemaOutdated(StoreError):
    """The database lacks migrations of this release. Run `chaingraph-worker migrate`, then start again."""


class OwnershipLost(StoreError):
    """A fenced write found another owner epoch, another attempt or an ended execution.

    The writer is a zombie: it must stop the attempt and write nothing more of it.
    """

    def __init__(self, execution_id: str, epoch: int) -> None:
        super().__init__(
            f"execution {execution_id}: owner epoch {epoch} is no longer current; "
            "the attempt was handed to another worker, stopped or ended, so nothing was written"
        )
        self.execution_id = execution_id
        self.epoch = epoch


class ConflictingExecution(StoreError):
    """An execution id is taken by a row with another content, which deterministic ids rule out."""


class ConflictingRevision(StoreError):
    """The ledger has another content under a flow's revision. Nothing was created: nobody runs another's flow."""


class ForeignLedger(StoreError):
    """The database belongs to another cluster, or that cannot be ruled out. The message says what can be done."""


class Superseded(StoreError):
    """An operator wrote after another one had taken its place; nothing was written. It must exit at once."""
