"""One client for both homes: a platform inside this process, or a server at a URL. A setting decides.

Answers are `Record`s: what the verb answered, with its fields as attributes, the same in both homes. A directory that
a server holds is reached through that server.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, Protocol

import msgspec

from millrace.base.codes import CODES
from millrace.base.config import Config, load
from millrace.base.errors import MillraceError, of_platform
from millrace.base.ids import Ids
from millrace.data import files
from millrace.sdk import forks

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

    from millrace.sdk.beside import Beside
    from millrace.store.blobs import Blobs

_TRIES = 4
_STARTING_S = 30.0
_CHUNK = 1 << 20


class Record(dict[str, Any]):
    """A verb's answer: a mapping whose keys are attributes too."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"no field {name!r}; there are: {', '.join(self)}") from None


def record(value: Any) -> Any:
    """JSON-like `value` with every mapping as a `Record`."""
    if isinstance(value, dict):
        return Record((key, record(item)) for key, item in value.items())
    if isinstance(value, list | tuple):
        return [record(item) for item in value]
    return value


class Answer(NamedTuple):
    """What an endpoint answered, one entry a row; `faults` by row, whose score is None."""

    ids: list[str]
    versions: list[int]
    scores: list[Any]
    faults: dict[int, str]


class Home(Protocol):
    """Where the verbs run. `name` is an address, or the directory that is served or embedded.

    `spool` is where a program keeps what the home cannot take while it is away; None where it cannot be away.
    """

    name: str
    spool: Path | None

    def call(self, op: str, request: dict[str, Any], workspace: str, key: str) -> Any: ...
    def put(self, content: bytes) -> str: ...
    def get(self, digest: str) -> bytes: ...
    def pour(self, digest: str, into: BinaryIO) -> None: ...
    def predict(
        self, endpoint: str, columns: dict[str, list[Any]], id: str, version: int, workspace: str
    ) -> Answer: ...
    def close(self) -> None: ...


class Client:
    """Runs verbs. Safe from any thread."""

    def __init__(self, home: Home, workspace: str) -> None:
        self.home = home
        self.workspace = workspace
        self.forked()
        forks.mind(self)

    def forked(self) -> None:
        self._ids = Ids()

    def call(self, op: str, /, **request: Any) -> Any:
        """Run a verb; its answer as a `Record`. Lost connections are retried with the same idempotency key."""
        return record(self.home.call(op, request, self.workspace, self._ids.new()))

    def once(self, key: str, op: str, /, **request: Any) -> Any:
        """Run a verb under a key of your own: the same key and request again answer what they answered before."""
        return record(self.home.call(op, request, self.workspace, key))

    def pages(self, op: str, /, **request: Any) -> Iterator[Any]:
        """Every item of a verb that answers in pages. Errors: `request.invalid` where it answers whole, and its own."""
        while True:
            page = self.call(op, **request)
            if not (isinstance(page, dict) and {"items", "next"} <= page.keys()):
                raise MillraceError("request.invalid", f"{op!r} does not answer in pages", f"call it: call({op!r}, …)")
            yield from page["items"]
            if page["next"] is None:
                return
            request["after"] = page["next"]

    def predict(self, endpoint: str, columns: dict[str, list[Any]], id: str = "", version: int = 0) -> Answer:
        """Ask an endpoint about rows, one list a column. Errors: those of `endpoint.predict`, `model.failed`."""
        return self.home.predict(endpoint, columns, id, version, self.workspace)

    def save(self, digest: str, path: str | Path) -> Path:
        """Write stored bytes to a file, which appears whole or not at all, in the place of what was there; its path.

        Errors: `file.unwritable`, `blob.unknown`, `blob.corrupt`.
        """
        with files.appearing(path) as out:
            self.home.pour(digest, out)
        return Path(path)

    def close(self) -> None:
        self.home.close()


_copied: set[str] = set()
"""The directories whose platform was inside a process that this one is a fork of; see `millrace.sdk.beside`."""


class Embedded:
    """A platform inside this process; that of a forked child is in a process beside it."""

    def __init__(self, config: Config) -> None:
        with of_platform("a platform inside this program"):
            from millrace.assemble import Platform
            from millrace.store.local import LocalBlobs

        self.name = str(Path(config["dir"]).absolute())
        self.spool: Path | None = None
        self._config = config
        self._beside: Beside | None = None
        if self.name in _copied:
            self.forked()
            self._blobs: Blobs = LocalBlobs(Path(self.name) / "blobs")
        else:
            self.platform = Platform(config)
            self.platform.start()
            self._blobs = self.platform.ground.blobs
        forks.mind(self)

    def forked(self) -> None:
        from millrace.sdk.beside import Beside

        _copied.add(self.name)
        self._beside = Beside(self._config)

    def call(self, op: str, request: dict[str, Any], workspace: str, key: str) -> Any:
        # Through JSON there and back, so that this home takes and gives exactly what a server does.
        return msgspec.json.decode(self.answer(op, _body(op, request), workspace, key))

    def answer(self, op: str, body: bytes, workspace: str, key: str) -> bytes:
        """What a verb answers, in JSON."""
        if self._beside is not None:
            return self._beside.ask(op, body, workspace, key)
        return msgspec.json.encode(self.platform.call(op, body, workspace=workspace, key=key or None))

    def put(self, content: bytes) -> str:
        return self._blobs.put(content)

    def get(self, digest: str) -> bytes:
        return self._blobs.get(digest)

    def pour(self, digest: str, into: BinaryIO) -> None:
        with self._blobs.open(digest) as source:
            shutil.copyfileobj(source, into, _CHUNK)

    def predict(self, endpoint: str, columns: dict[str, list[Any]], id: str, version: int, workspace: str) -> Answer:
        request = {"endpoint": endpoint, "columns": columns, "id": id, "version": version}
        if self._beside is None:
            found = self.platform.call("endpoint.predict", request, workspace=workspace)
        else:
            found = _predicted(self.answer("endpoint.predict", _body("endpoint.predict", request), workspace, ""))
        if len(found.faults) == len(found.ids):
            raise MillraceError("model.failed", f"version {found.versions[0]}: {found.faults[0]}")
        return Answer(found.ids, found.versions, found.scores, found.faults)

    def close(self) -> None:
        if self._beside is not None:
            self._beside.close()
        else:
            self.platform.close()


class Remote:
    """A server at a URL. Retries what is safe to retry: every verb carries an idempotency key."""

    def __init__(self, url: str, token: str = "", name: str = "", spool: Path | None = None) -> None:
        self.name = name or url.rstrip("/")
        self.spool = spool
        self.url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {_token(token)}"} if token.strip() else {}
        self._left: list[Any] = []
        self._begin()
        forks.mind(self)

    def forked(self) -> None:
        self._left.append(self._pool)  # whose connections are the parent's: not even to be closed
        self._begin()

    def _begin(self) -> None:
        import urllib3

        self._ids = Ids()
        self._pool = urllib3.PoolManager(maxsize=16, retries=False, timeout=urllib3.Timeout(connect=5, read=900))

    def call(self, op: str, request: dict[str, Any], workspace: str, key: str) -> Any:
        headers = {"Idempotency-Key": key, "Millrace-Workspace": _place(workspace), "Content-Type": "application/json"}
        return msgspec.json.decode(self._ask("POST", f"/api/v1/{op}", _body(op, request), headers))

    def put(self, content: bytes) -> str:
        answer = msgspec.json.decode(self._ask("POST", "/api/v1/blobs", content, {}))
        return str(answer["digest"])

    def get(self, digest: str) -> bytes:
        return self._ask("GET", f"/api/v1/blobs/{digest}", None, {})

    def pour(self, digest: str, into: BinaryIO) -> None:
        self._ask("GET", f"/api/v1/blobs/{digest}", None, {}, lambda answer: _pour(answer, digest, into))

    def predict(self, endpoint: str, columns: dict[str, list[Any]], id: str, version: int, workspace: str) -> Answer:
        """Over the prediction protocol; the request's id makes a repetition after a lost connection safe."""
        inputs = [
            {"name": name, "datatype": _datatype(values), "shape": [len(values)], "data": values}
            for name, values in columns.items()
        ]
        path = f"/v2/models/{endpoint}{f'/versions/{version}' if version else ''}/infer"
        body = msgspec.json.encode({"id": id or self._ids.new(), "inputs": inputs})
        headers = {"Millrace-Workspace": _place(workspace), "Content-Type": "application/json"}
        answer = msgspec.json.decode(self._ask("POST", path, body, headers))
        found = {output["name"]: output for output in answer["outputs"]}
        scores, shape = found["score"]["data"], found["score"]["shape"]
        if len(shape) == 2:
            scores = [scores[place : place + shape[1]] for place in range(0, len(scores), shape[1])]
        told = found["error"]["data"] if "error" in found else []
        faults = {row: text for row, text in enumerate(told) if text}
        return Answer(found["id"]["data"], found["version"]["data"], scores, faults)

    def close(self) -> None:
        self._pool.clear()

    def _ask(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str],
        take: Callable[[BaseHTTPResponse], None] | None = None,
    ) -> bytes:  # fmt: skip
        """The answer's bytes; or none, when `take` reads them: from the beginning again after a lost connection."""
        import urllib3

        last: Exception | None = None
        for attempt in range(_TRIES):
            if attempt:
                time.sleep(0.1 * 2**attempt)
            try:
                answer = self._pool.request(
                    method, self.url + path, body=body, headers={**self._headers, **headers}, preload_content=not take
                )
                if take and answer.status == 200:
                    take(answer)
                    return b""
            except urllib3.exceptions.HTTPError as fault:
                last = fault
                continue
            if answer.status == 200:
                return bytes(answer.data)
            fault_told = told(bytes(answer.data), answer.status)
            if answer.status != 503:
                raise fault_told
            last = fault_told
        if isinstance(last, MillraceError):
            raise last
        raise MillraceError(
            "server.unreachable", f"{self.url} does not answer: {last}", "is it up? millrace up"
        ) from None


def _token(token: str) -> str:
    """Without the white space that a file or a shell may bring along. Errors: `token.invalid`."""
    token = token.strip()
    if not (token.isascii() and token.isprintable()):
        raise MillraceError("token.invalid", "the token holds what no token can", "set MILLRACE_TOKEN anew")
    return token


def _place(workspace: str) -> str:
    """A workspace's name that a header can carry. Errors: `workspace.unknown`."""
    if not (workspace.isascii() and workspace.isprintable()):
        raise MillraceError("workspace.unknown", f"there is no workspace {workspace!r}", "see: millrace workspace list")
    return workspace


def _predicted(answer: bytes) -> Any:
    """The answer of `endpoint.predict` from its JSON, as the verb gave it."""
    from millrace.waist import TABLE

    return msgspec.json.decode(answer, type=TABLE["endpoint.predict"].answer)


def _pour(answer: BaseHTTPResponse, digest: str, into: BinaryIO) -> None:
    """Write a blob as it comes, from the file's beginning. Errors: `blob.corrupt`."""
    from blake3 import blake3

    from millrace.store.blobs import corrupt_blob

    into.seek(0)
    into.truncate()
    hasher = blake3()
    try:
        for part in answer.stream(_CHUNK):
            hasher.update(part)
            into.write(part)
    except BaseException:
        answer.close()  # the rest of it would be taken for another answer
        raise
    answer.release_conn()
    if hasher.hexdigest() != digest:
        raise corrupt_blob(digest, hasher.hexdigest())


def _body(op: str, request: dict[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(request, enc_hook=_plain)
    except (TypeError, ValueError, OverflowError, RecursionError) as fault:
        raise MillraceError("request.invalid", f"{op}: {fault}", "use numbers, text, lists and mappings") from fault


def _plain(value: Any) -> Any:
    """NumPy's numbers and arrays as Python's; a path as its text."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be sent as JSON")


def told(body: bytes, status: int) -> MillraceError:
    """The error that a problem answer tells of."""
    try:
        problem = msgspec.json.decode(body)
        code, detail, hint = problem["code"], problem["detail"], problem["hint"]
    except (msgspec.DecodeError, KeyError, TypeError):
        code, detail, hint = (
            "server.unreachable",
            f"an answer of status {status} that is not Millrace's",
            "check the URL",
        )
    return MillraceError(code if code in CODES else "internal.fault", detail, hint)


def _datatype(values: list[Any]) -> str:
    """The protocol's name for what a column holds."""
    kinds = {type(value) for value in values} - {type(None)}
    if str in kinds:
        return "BYTES"
    return "BOOL" if kinds == {bool} else "INT64" if kinds == {int} else "FP64"


def connect(url: str = "", dir: str = "", token: str = "", workspace: str = "") -> Client:
    """A client of the configured home: `url` if there is one, else the server that holds `dir`, else embedded."""
    given = {"url": url or None, "dir": dir or None, "token": token or None, "workspace": workspace or None}
    config = load(given)
    return Client(_home(config), config["workspace"])


def _home(config: Config) -> Home:
    if config["url"]:
        return Remote(config["url"], config["token"], spool=spool_of(config))
    from millrace.http.holder import holder

    folder = Path(config["dir"]).absolute()
    held = holder(folder)
    deadline = time.monotonic() + _STARTING_S
    while held and not held.url:  # it is starting, and will say where it answers
        if time.monotonic() > deadline:
            raise MillraceError(
                "server.unreachable", f"process {held.pid} holds {folder}", "is it stuck? stop it first"
            )
        time.sleep(0.05)
        held = holder(folder)
    return Remote(held.url, config["token"], str(folder), spool_of(config)) if held else Embedded(config)


def spool_of(config: Config) -> Path:
    """The folder of the spool: the setting, or the user's own data."""
    return Path(config["spool"]) if config["spool"] else Path.home() / ".local" / "share" / "millrace" / "spool"
