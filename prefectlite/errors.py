"""The one tree of errors.

PrefectliteError
├── FlowError                 the flow as written cannot be used (also a ValueError)
│   ├── FlowCycleError        the tasks wait for each other
│   ├── DuplicateSlugError    two tasks of one flow want the same slug
│   ├── FlowValidationError   an edge or reference task is not part of the flow
│   └── ScheduleError         a schedule says what cannot be
├── ParameterError            parameters missing or unknown (also a ValueError)
│   └── UnexpectedArgument    a keyword is neither a parameter nor an option (also a TypeError)
├── RunNotStartedError        a FlowRun was read before it was awaited
├── RunFailedError            raised by `FlowRun.raise_for_state()`
├── RunInterrupted            the session closed before the run ended; it can be taken up again
├── FlowLoadError             a flow's file or module cannot be used
│   ├── FlowSourceMissing     the file, module or flow is not there
│   └── FlowImportError       importing it raised
├── FlowStorageError          a flow that was saved cannot be read back
├── WorkerDied                the process that executed a task ended
├── SerializationError        a value cannot be written down
│   └── FlowSerializationError  a flow cannot, because of something its tasks hold
├── ResultNotImplementedError this kind of result keeps values in memory only (also a NotImplementedError)
├── ResultLocationError       a result's location leads where it should not (also a ValueError)
├── StoreError                the database cannot be used
│   ├── SchemaTooNew          it was written by a newer prefectlite
│   ├── StoreDamaged          its file is damaged, or no database
│   ├── StoreUnavailable      it cannot be opened or reached
│   │   ├── NoDataDirectory   because there is no place for it in the user's home
│   │   └── ServerUnreachable the server in front of it does not answer (also an ApiError)
│   └── StoreClosed           it was used after it was closed
├── RunFileError              a run cannot be written to a file, or read from it (also a ValueError)
├── NotFound                  no such row
│   ├── KeyNotFound           no such key in the key-value store (also a ValueError)
│   └── SecretNotFound        no such secret (also a ValueError)
├── BadRequest                the API's input cannot be used
├── Forbidden                 the role of a caller's token does not allow it
├── TransitionRefused         the orchestrator said no
├── SecretUnreadable          a secret was encrypted with another key
├── SettingsError             a setting cannot be used
├── PortInUse                 something else listens there
├── AlreadyServed             another server has this database
├── ApiError                  a server answered with errors, or not at all
└── UnsupportedLoop           this event loop cannot host prefectlite
"""


class PrefectliteError(Exception):
    """Root of all errors raised by prefectlite itself; user code's exceptions stay their own."""

    code = "INTERNAL"  # stable, for programs
    exit_code = 70  # with which the command line leaves; the numbers are those of BSD's sysexits


class FlowError(PrefectliteError, ValueError):
    """A flow cannot be built or used as written."""

    code = "BAD_FLOW"
    exit_code = 65


class FlowCycleError(FlowError):
    """The edges of a flow form a cycle."""

    code = "FLOW_CYCLE"


class DuplicateSlugError(FlowError):
    """Two tasks of one flow carry the same slug."""

    code = "DUPLICATE_SLUG"


class FlowValidationError(FlowError):
    """An edge or a reference task names a task that is not in the flow."""

    code = "FLOW_INVALID"


class ScheduleError(FlowError):
    """A schedule, or a part of it, cannot be used, written down or read."""

    code = "BAD_SCHEDULE"


class ParameterError(PrefectliteError, ValueError):
    """Parameters are missing, or were given and are not known to the flow."""

    code = "BAD_USER_INPUT"
    exit_code = 65


class RunNotStartedError(PrefectliteError, RuntimeError):
    """A FlowRun was read before it was awaited."""

    code = "RUN_NOT_STARTED"


class RunFailedError(PrefectliteError):
    """A flow run ended in a state that is not successful."""

    code = "RUN_FAILED"
    exit_code = 1


class RunInterrupted(PrefectliteError):
    """The session that executed a run was closed before the run ended; its record is as it was, to be taken up again."""

    code = "RUN_INTERRUPTED"
    exit_code = 75


class FlowLoadError(PrefectliteError):
    """The code of a flow cannot be used."""

    code = "FLOW_LOAD"
    exit_code = 65


class FlowSourceMissing(FlowLoadError):
    """The file, the module or the flow in it does not exist."""

    code = "FLOW_SOURCE_MISSING"
    exit_code = 66


class FlowImportError(FlowLoadError):
    """Importing a flow's file or module raised; the cause is chained."""

    code = "FLOW_IMPORT"


class SerializationError(PrefectliteError, TypeError):
    """A value cannot be written down or read back."""

    code = "SERIALIZATION"
    exit_code = 65


class WorkerDied(PrefectliteError):
    """The worker process that executed a task ended before the task did, or could not be started."""

    code = "WORKER_DIED"


class FlowSerializationError(SerializationError):
    """A flow cannot be written down, because of something that its tasks hold."""

    code = "FLOW_SERIALIZATION"


class FlowStorageError(PrefectliteError):
    """A flow that was saved cannot be read back."""

    code = "FLOW_STORAGE"
    exit_code = 65


class ResultNotImplementedError(PrefectliteError, NotImplementedError):
    """This kind of result keeps values in memory only."""

    code = "RESULT_NOT_IMPLEMENTED"


class ResultLocationError(PrefectliteError, ValueError):
    """A result's location leads out of the directory it should be in."""

    code = "RESULT_LOCATION"
    exit_code = 65


class UnexpectedArgument(ParameterError, TypeError):
    """A keyword is neither a parameter of the flow nor an option of the call."""


class StoreError(PrefectliteError):
    """The database cannot be used."""

    code = "STORE"
    exit_code = 74


class SchemaTooNew(StoreError):
    """The database was written by a newer prefectlite."""

    code = "SCHEMA_TOO_NEW"
    exit_code = 76


class StoreDamaged(StoreError):
    """The database's file is damaged, or is no database."""

    code = "STORE_DAMAGED"


class StoreUnavailable(StoreError):
    """The database cannot be opened or reached."""

    code = "STORE_UNAVAILABLE"
    exit_code = 69


class NoDataDirectory(StoreUnavailable):
    """The user's data directory, which holds the database unless another one is named, cannot be used."""

    code = "NO_DATA_DIRECTORY"
    exit_code = 78


class StoreClosed(StoreError):
    """The database was used after it was closed."""

    code = "STORE_CLOSED"


class RunFileError(PrefectliteError, ValueError):
    """A flow run cannot be written to a file, or a file cannot be read as one."""

    code = "RUN_FILE"
    exit_code = 65


class NotFound(PrefectliteError, LookupError):
    """No such row."""

    code = "NOT_FOUND"
    exit_code = 66


class KeyNotFound(NotFound, ValueError):
    """The key-value store has no such key."""


class SecretNotFound(NotFound, ValueError):
    """There is no such secret: in the context, in the environment, or in the database."""


class SecretUnreadable(PrefectliteError):
    """A secret cannot be decrypted with the key that is there, or there is no key and none can be made."""

    code = "SECRET_UNREADABLE"
    exit_code = 78


class BadRequest(PrefectliteError, ValueError):
    """Input to the API or to a query cannot be used."""

    code = "BAD_USER_INPUT"
    exit_code = 65


class Forbidden(PrefectliteError):
    """The role of the caller's token does not allow this."""

    code = "FORBIDDEN"
    exit_code = 77


class TransitionRefused(PrefectliteError):
    """The orchestrator refused a change of state."""

    code = "TRANSITION_REFUSED"
    exit_code = 65


class SettingsError(PrefectliteError, ValueError):
    """A setting has a value that cannot be used."""

    code = "BAD_SETTING"
    exit_code = 78


class PortInUse(PrefectliteError, OSError):
    """Another process listens on the port asked for."""

    code = "PORT_IN_USE"
    exit_code = 69


class AlreadyServed(PrefectliteError):
    """Another process serves this database."""

    code = "ALREADY_SERVED"
    exit_code = 69


class ApiError(PrefectliteError):
    """A prefectlite server answered with errors, or could not be reached."""

    code = "API"
    exit_code = 69


class ServerUnreachable(ApiError, StoreUnavailable):
    """The server that has the record cannot be reached, or gives no answer of its own."""


class UnsupportedLoop(PrefectliteError, RuntimeError):
    """The running event loop is not asyncio's."""

    code = "UNSUPPORTED_LOOP"
