"""The exceptions of the store. Callers catch `StoreError`; the subclasses say what to do.

StoreError
├── SettingsRefused       an invalid connection setting
├── SchemaOutdated        the database is not migrated: run `chaingraph-worker migrate`
├── OwnershipLost         another process owns the attempt: stop working on it, write nothing more
├── ConflictingExecution  an id is taken by an execution with other content
├── ConflictingRevision   a revision of a flow is taken by other content
├── ForeignLedger         the database belongs to another cluster: serve nothing from it
└── Superseded            another operator has replaced this one: exit at once
"""


class StoreError(Exception):
    """Base of this package's exceptions."""


class SettingsRefused(StoreError):
    """A connection setting is invalid. The message names the variable, its value and a valid form."""


class SchemaOutdated(StoreError):
    """The database lacks migrations of this release. Run `chaingraph-worker migrate`, then start again."""


class OwnershipLost(StoreError):
    """A fenced write found another owner epoch, another attempt or an ended execution.

    The writer is a zombie: it must stop the attempt and write nothing more of it.
    """

    def __init__(self, execution_id: str, epoch: int) -> None:
        super().__init__(
            f"execution {execution_id}: owner epoch {epoch} is no longer current, nothing was written. "
            "The attempt was handed to another worker, stopped or ended"
        )
        self.execution_id = execution_id
        self.epoch = epoch


class ConflictingExecution(StoreError):
    """An execution id is taken by a row with other content, which deterministic ids rule out."""


class ConflictingRevision(StoreError):
    """The ledger has other content under a flow's revision. Nothing was created, so that no other flow runs instead."""


class ForeignLedger(StoreError):
    """The database belongs to another cluster, or may do so. The message says what to do."""


class Superseded(StoreError):
    """An operator wrote after another one had replaced it; nothing was written. It must exit at once."""
