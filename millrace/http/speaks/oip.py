"""The Open Inference Protocol, version 2, over REST: a bare ASGI route ahead of any framework.

A model of the protocol is an endpoint; its versions are the versions in the routing table. Each input tensor is a
column, one value a row; ``event_time`` among the request's parameters gives the rows' event times where no column
does. Tensors come as JSON or as binary data, answers are JSON: ``score`` (FP64), ``version`` (INT64) and ``id`` (BYTES)
of each row, and ``error`` (BYTES) when a row failed.
"""

from __future__ import annotations

import logging
import struct
from math import prod
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct, field

import millrace
from millrace import waist
from millrace.base.clock import from_iso
from millrace.base.errors import MillraceError, nearest
from millrace.base.seldom import Seldom
from millrace.base.words import foreign_field
from millrace.http.doorman import Doorman, remote_of
from millrace.http.problem import is_for_us
from millrace.http.speaks import described
from millrace.http.speaks.protocol import Protocol
from millrace.serving import resident
from millrace.serving.answering import Answered, Asked, check_lengths, check_request, infinite
from millrace.serving.drain import Drains
from millrace.serving.resident import Served

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from millrace.assemble import Platform

_log = logging.getLogger("millrace.http")
_PERMITTED_S = 0.2  # a withdrawn token or role reaches predictions within this time
_HEADER = b"inference-header-content-length"
_JSON = (b"content-type", b"application/json")
_TYPES: dict[str, frozenset[type]] = {
    **dict.fromkeys(("FP16", "FP32", "FP64"), frozenset({float, int, type(None)})),
    **dict.fromkeys(
        ("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"), frozenset({int, type(None)})
    ),
    "BOOL": frozenset({bool, type(None)}),
    "BYTES": frozenset({str, type(None)}),
}
_BINARY = {
    "FP16": "<f2", "FP32": "<f4", "FP64": "<f8", "BOOL": "?", "INT8": "<i1", "INT16": "<i2", "INT32": "<i4",
    "INT64": "<i8", "UINT8": "<u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8",
}  # fmt: skip
_WIDEST = -(1 << 63), 1 << 63  # what a column holds
_BOUNDS = {
    "INT8": (-(1 << 7), 1 << 7), "INT16": (-(1 << 15), 1 << 15), "INT32": (-(1 << 31), 1 << 31),
    "UINT8": (0, 1 << 8), "UINT16": (0, 1 << 16), "UINT32": (0, 1 << 32), "UINT64": (0, 1 << 63),
}  # fmt: skip
_LARGEST = {"FP16": 65_520.0, "FP32": 2.0**128 - 2.0**103}  # from here on the nearest one is infinite
_ONE = [1]
_OUTPUTS = ("score", "version", "id", "error")


class Tensor(Struct, gc=False, forbid_unknown_fields=True):
    """An input."""

    name: str
    shape: list[int]
    datatype: str
    data: Any = None
    parameters: dict[str, Any] | None = None


class Wanted(Struct, forbid_unknown_fields=True):
    """An output that the client asks for."""

    name: str
    parameters: dict[str, Any] = field(default_factory=dict)


class Question(Struct, forbid_unknown_fields=True):
    """The body of a request. What a client adds of its own belongs into `parameters`, here and of a tensor."""

    inputs: list[Tensor]
    id: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    outputs: list[Wanted] = field(default_factory=list)


Who = tuple[dict[bytes, bytes], str]
"""A request's headers, and the address that it came from."""

_decode = msgspec.json.Decoder(Question).decode
_encode = msgspec.json.Encoder().encode


class OpenInference:
    """The protocol's routes; one instance per application."""

    def __init__(self, platform: Platform, doorman: Doorman) -> None:
        self._platform = platform
        self._doorman = doorman
        self._limit = platform.ground.config["body_limit_mb"] * 1_000_000
        self._drains: Drains | None = None
        self._seldom = Seldom(_log)
        self._permitted: dict[tuple[Any, ...], float] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; an error is told as the protocol says."""
        started = perf_counter()
        try:
            body = await self._answer(scope, receive, started)
            status, after_s = 200, 0
        except MillraceError as fault:
            status, after_s = fault.status, fault.after_s
            if is_for_us(fault):
                self._seldom.warn("predictions are refused", fault)
            told = f"{fault.message}; {fault.hint}" if fault.hint else fault.message
            body = _encode({"error": told, "code": fault.code, "detail": fault.message, "hint": fault.hint})
        except Exception:
            status, after_s, reference = 500, 0, self._platform.ground.ids.new()
            _log.exception("defect %s at %s %s", reference, scope["method"], scope["path"])
            body = _encode({"error": f"a defect in Millrace; the server's log names it {reference}"})
        headers = [_JSON, (b"content-length", b"%d" % len(body))]
        if status in (429, 503):
            headers.append((b"retry-after", b"%d" % after_s))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope, receive: Receive, started: float) -> bytes:
        parts = scope["path"].split("/")[2:]
        headers = dict(scope["headers"])
        who = headers, remote_of(scope)
        workspace = headers.get(b"millrace-workspace", b"main").decode("latin-1")
        post = scope["method"] == "POST"
        match parts:
            case ["models", name, "infer"] if post:
                return await self._infer(who, workspace, name, 0, scope, receive, started)
            case ["models", name, "versions", number, "infer"] if post:
                return await self._infer(who, workspace, name, _number(number), scope, receive, started)
        self._doorman.admit(scope["method"], headers, remote_of(scope))
        match parts:
            case [] | [""]:
                return _encode(
                    {"name": "millrace", "version": millrace.__version__, "extensions": ["binary_tensor_data"]}
                )
            case ["health", "live"]:
                return b'{"live":true}'
            case ["health", "ready"]:
                return self._ready()
            case ["repository", "index"] if post:
                return self._index(who, workspace)
            case ["models", name]:
                return self._metadata(who, workspace, name, 0)
            case ["models", name, "ready"]:
                self._served(who, workspace, name).log.check()
                return _encode({"name": name, "ready": True})
            case ["models", name, "versions", number]:
                return self._metadata(who, workspace, name, _number(number))
            case ["models", name, "versions", number, "ready"]:
                served = self._served(who, workspace, name)
                _version(served, _number(number))
                served.log.check()
                return _encode({"name": name, "ready": True})
        raise MillraceError("op.unknown", f"nothing answers {scope['method']} {scope['path']}", "see docs/serving.md")

    async def _infer(
        self, who: Who, workspace: str, name: str, pinned: int, scope: Scope, receive: Receive, started: float
    ) -> bytes:
        self._permit("POST", who, workspace, "prediction:run")
        body = await self._body(receive)
        drain = self._all().of(workspace, name)
        question, columns, rows = read(body, who[0])
        served = drain.served()
        columns = _split(served, question, columns, rows)
        own = bool(question.id)
        request = check_request(question.id) if own else self._platform.ground.ids.new()
        event = _event_times(question.parameters.get("event_time"), rows)
        alone = "arrivals" in scope and scope["arrivals"].alone()
        answered = await drain.ask(served, Asked(request, own, columns, rows, event, pinned, started), alone=alone)
        return write(name, question, answered)

    def _served(self, who: Who, workspace: str, name: str) -> Served:
        self._permit("GET", who, workspace, "endpoint:read")
        return self._all().resident.served(workspace, name)

    def _metadata(self, who: Who, workspace: str, name: str, number: int) -> bytes:
        served = self._served(who, workspace, name)
        if number:
            _version(served, number)
        inputs = [
            {
                "name": column,
                "shape": [-1],
                "datatype": "BYTES" if served.kinds.get(column) == "text" else _kind(served, column),
            }
            for column in served.asked
        ]
        classes = max((len(loaded.scorer.signature.classes) for loaded in served.loaded.values()), default=0)
        score = [-1, classes] if classes > 2 else [-1]
        return _encode(
            {
                "name": name,
                "versions": [str(version) for version in served.loaded],
                "platform": "onnxruntime_onnx",
                "inputs": inputs,
                "outputs": [
                    {"name": "score", "shape": score, "datatype": "FP64"},
                    {"name": "version", "shape": [-1], "datatype": "INT64"},
                    {"name": "id", "shape": [-1], "datatype": "BYTES"},
                ],
            }
        )

    def _index(self, who: Who, workspace: str) -> bytes:
        self._permit("GET", who, workspace, "endpoint:read")
        found: list[dict[str, str]] = []
        after: str | None = ""
        while after is not None:
            page = self._platform.call("endpoint.list", {"after": after, "limit": 1_000}, workspace=workspace)
            found += [self._state(workspace, endpoint.name) for endpoint in page.items]
            after = page.next
        return _encode(found)

    def _state(self, workspace: str, name: str) -> dict[str, str]:
        try:
            served = self._all().resident.served(workspace, name)
            served.log.check()
        except MillraceError as fault:
            return {"name": name, "version": "", "state": "UNAVAILABLE", "reason": f"{fault.code}: {fault.message}"}
        told = [
            f"without its shadow, version {number}: {fault.code}: {fault.message}"
            for number, fault in served.mute.items()
        ]
        return {"name": name, "version": "", "state": "READY", "reason": "; ".join(told)}

    def _ready(self) -> bytes:
        """As the protocol has it: all models are ready. An endpoint that nobody routed yet is none."""
        if self._platform.stopping:
            raise MillraceError("server.stopping", "the server is shutting down", "try another one")
        unable = self._all().resident.unable()
        if unable:
            told = f"{len(unable)} of the routed endpoints cannot answer"
            raise MillraceError("server.unready", told, "POST /v2/repository/index says which and why")
        return b'{"ready":true}'

    def _permit(self, method: str, who: Who, workspace: str, permission: str) -> None:
        """The doorman's check and the permission, remembered for a moment."""
        headers, remote = who
        get = headers.get
        key = (
            method, permission, workspace, get(b"authorization"), get(b"host"), get(b"origin"), get(b"sec-fetch-site")
        )  # fmt: skip
        now = monotonic()
        if self._permitted.get(key, 0.0) > now:
            return
        caller = self._doorman.admit(method, headers, remote)
        with self._platform.ground.catalog.read() as tx:
            waist.permit(tx, caller, workspace, permission)
        if len(self._permitted) > 1_000:
            self._permitted.clear()
        self._permitted[key] = now + _PERMITTED_S

    def _all(self) -> Drains:
        if self._drains is None:
            self._drains = Drains(resident.resident(self._platform.ground))
        return self._drains

    async def _body(self, receive: Receive) -> bytes:
        message = await receive()
        body: bytes = message.get("body", b"")
        if not message.get("more_body"):
            return body
        parts, size = [body], len(body)
        while message.get("more_body"):
            message = await receive()
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._limit:
                raise MillraceError("request.too_large", f"the body is larger than {self._limit} bytes", "send less")
        return b"".join(parts)


def read(body: bytes, headers: dict[bytes, bytes]) -> tuple[Question, dict[str, list[Any]], int]:
    """The question, its columns and the number of rows. Errors: `request.invalid`, `prediction.infinite`."""
    if headers.get(b"content-encoding", b"identity") != b"identity":
        raise _bad("a compressed body is not read here", "send it without content-encoding")
    length = headers.get(_HEADER)
    if length is not None and not (length.isdigit() and int(length) <= len(body)):
        raise _bad("inference-header-content-length does not fit the body", "it is the length of the JSON part")
    text, rest = (body, b"") if length is None else (body[: int(length)], body[int(length) :])
    try:
        question = _decode(text)
    except msgspec.ValidationError as fault:
        foreign = foreign_field(Question, fault)
        if foreign is None:
            raise _bad(f"the request does not fit the protocol: {fault}") from fault
        name, place, there = foreign
        raise _bad(
            f"the protocol has no field {name!r}{' in ' + place if place else ''}", nearest(name, there)
        ) from fault
    except msgspec.DecodeError as fault:
        raise _bad(f"the request is not JSON: {fault}") from fault
    if not question.inputs:
        raise _bad("the request has no inputs", "send one tensor a column")
    columns = _one_row(question.inputs) if not rest else None
    if columns is not None:
        return question, columns, 1
    columns, rows = _many_rows(question.inputs, rest)
    if not rows:
        raise _bad("the request has no rows")
    return question, columns, rows


def _one_row(inputs: list[Tensor]) -> dict[str, list[Any]] | None:
    """The columns of the question that is asked most: one cell an input. None for any other, and for a wrong one.

    Errors: those of `_within` and `_told`.
    """
    for tensor in inputs:
        data = tensor.data
        if type(data) is not list or len(data) != 1 or tensor.shape != _ONE or tensor.parameters:
            return None
        kind = type(data[0])
        if kind not in _TYPES.get(tensor.datatype, ()):
            return None
        if kind is int:
            _within(tensor, data)
        elif kind is float and tensor.datatype in _LARGEST and not abs(data[0]) < _LARGEST[tensor.datatype]:
            _told(tensor, data)
    columns = {tensor.name: tensor.data for tensor in inputs}
    return columns if len(columns) == len(inputs) else None


def _many_rows(inputs: list[Tensor], rest: bytes) -> tuple[dict[str, list[Any]], int]:
    """The columns of any question, and how many rows each has. Errors: `request.invalid`, `prediction.infinite`."""
    columns: dict[str, list[Any]] = {}
    rows = -1
    for tensor in inputs:
        if tensor.name in columns:
            raise _bad(f"the input {tensor.name!r} is given twice")
        size = tensor.parameters.get("binary_data_size") if tensor.parameters else None
        if size is None:
            columns[tensor.name] = _listed(tensor)
        else:
            columns[tensor.name] = _unpacked(tensor, rest, size)
            rest = rest[size:]
        if rows not in (-1, tensor.shape[0]):
            check_lengths({each.name: each.shape[0] for each in inputs if each.shape})
        rows = tensor.shape[0]
    if rest:
        raise _bad(f"{len(rest)} bytes belong to no input", "give binary_data_size to each binary input")
    return columns, rows


def write(name: str, question: Question, answered: Answered) -> bytes:
    """The answer. Errors: `model.failed` when no row was answered, `request.invalid` for an unknown output."""
    rows = len(answered.versions)
    if len(answered.faults) == rows:
        raise MillraceError("model.failed", f"version {answered.versions[0]}: {answered.faults[0]}")
    scores, shape = answered.scores, [rows]
    width = next((len(score) for score in scores if isinstance(score, list)), 0)
    if width:
        shape = [rows, width]
        scores = [cell for score in scores for cell in (score or [None] * width)]
    outputs: dict[str, dict[str, Any]] = {
        "score": {"name": "score", "datatype": "FP64", "shape": shape, "data": scores},
        "version": {"name": "version", "datatype": "INT64", "shape": [rows], "data": answered.versions},
        "id": {"name": "id", "datatype": "BYTES", "shape": [rows], "data": answered.ids},
    }
    if answered.faults:
        told = [answered.faults.get(row, "") for row in range(rows)]
        outputs["error"] = {"name": "error", "datatype": "BYTES", "shape": [rows], "data": told}
    if question.outputs:
        for wanted in question.outputs:
            if wanted.name not in _OUTPUTS:
                raise _bad(f"there is no output {wanted.name!r}", nearest(wanted.name, _OUTPUTS))
        outputs = {wanted.name: outputs[wanted.name] for wanted in question.outputs if wanted.name in outputs}
    first = answered.versions[0]
    alike = answered.versions.count(first) == rows
    return _encode(
        {
            "model_name": name,
            "model_version": str(first) if alike else "",
            "id": answered.request,
            "outputs": list(outputs.values()),
        }
    )


def _listed(tensor: Tensor) -> list[Any]:
    """The values of a JSON tensor, flat. Errors: `request.invalid`."""
    data, shape, kinds = tensor.data, tensor.shape, _TYPES.get(tensor.datatype)
    if type(data) is list and len(shape) == 1 and len(data) == shape[0] and kinds is not None:
        found = {type(data[0])} if len(data) == 1 else set(map(type, data))
        if found <= kinds:
            return _within(tensor, data) if int in found else _told(tensor, data)
    return _nested(tensor)


def _nested(tensor: Tensor) -> list[Any]:
    """The values of a tensor that may be nested, or wrong in some way that is to be told."""
    count = _count(tensor)
    data = tensor.data
    if not isinstance(data, list):
        raise _bad(f"the input {tensor.name!r} has no data", "send a list of its values")
    while data and isinstance(data[0], list):
        if not all(isinstance(part, list) for part in data):
            raise _bad(f"the input {tensor.name!r} is nested unevenly")
        data = [cell for part in data for cell in part]
    if len(data) != count:
        raise _bad(f"the input {tensor.name!r} has {len(data)} values, its shape {tensor.shape} asks for {count}")
    found = set(map(type, data))
    odd = found - _TYPES[tensor.datatype]
    if odd:
        raise _bad(f"the input {tensor.name!r} of {tensor.datatype} holds {min(kind.__name__ for kind in odd)} values")
    return _within(tensor, data) if int in found else _told(tensor, data)


def _within(tensor: Tensor, data: list[Any]) -> list[Any]:
    """Errors: `request.invalid` for a whole number beyond its datatype, or that no column holds."""
    low, high = _BOUNDS.get(tensor.datatype, _WIDEST)
    whole = data if len(data) == 1 else [cell for cell in data if type(cell) is int]
    if min(whole) < low or max(whole) >= high:
        raise _bad(f"the input {tensor.name!r} of {tensor.datatype} holds a whole number outside {low} … {high - 1}")
    return _told(tensor, data)


def _told(tensor: Tensor, data: list[Any]) -> list[Any]:
    """Errors: `request.invalid` for a number that would be infinite in its datatype."""
    end = _LARGEST.get(tensor.datatype)
    if end is not None:
        far = next((cell for cell in data if cell is not None and not -end < cell < end), None)
        if far is not None:
            raise _bad(
                f"the input {tensor.name!r} of {tensor.datatype} holds {far}, which is beyond it",
                "send null, or cut it to a range",
            )
    return data


def _unpacked(tensor: Tensor, rest: bytes, size: Any) -> list[Any]:
    """The values of a binary tensor. Errors: `request.invalid`, `prediction.infinite`."""
    import numpy as np

    count = _count(tensor)
    if not isinstance(size, int) or not 0 <= size <= len(rest):
        raise _bad(f"the input {tensor.name!r} has {len(rest)} bytes left, not binary_data_size = {size}")
    if tensor.datatype == "BYTES":
        return _texts(tensor.name, rest[:size], count)
    kind = np.dtype(_BINARY[tensor.datatype])
    if size != count * kind.itemsize:
        raise _bad(f"the input {tensor.name!r} of shape {tensor.shape} has {size} bytes, not {count * kind.itemsize}")
    found = np.frombuffer(rest[:size], kind)
    if kind.kind == "f" and np.isinf(found).any():
        raise infinite(tensor.name, int(np.argmax(np.isinf(found))) // max(1, count // max(1, tensor.shape[0])))
    values: list[Any] = found.tolist()
    return values


def _texts(name: str, data: bytes, count: int) -> list[str]:
    found: list[str] = []
    place = 0
    while place < len(data):
        if place + 4 > len(data):
            break
        (length,) = struct.unpack_from("<I", data, place)
        place += 4 + length
        try:
            found.append(data[place - length : place].decode())
        except UnicodeDecodeError as fault:
            raise _bad(f"the input {name!r} is not UTF-8") from fault
    if place != len(data) or len(found) != count:
        raise _bad(f"the input {name!r} holds {len(found)} texts, its shape asks for {count}")
    return found


def _count(tensor: Tensor) -> int:
    if tensor.datatype not in _TYPES:
        raise _bad(f"the input {tensor.name!r} is of {tensor.datatype!r}", nearest(tensor.datatype, _TYPES))
    if not tensor.shape or any(size < 0 for size in tensor.shape) or len(tensor.shape) > 2:
        raise _bad(f"the input {tensor.name!r} has the shape {tensor.shape}", "use [rows], or [rows, 1]")
    return prod(tensor.shape)


def _split(served: Served, question: Question, columns: dict[str, list[Any]], rows: int) -> dict[str, list[Any]]:
    """Columns one value a row; a single matrix holds the model's columns in order. Errors: `request.invalid`."""
    wide = [tensor for tensor in question.inputs if len(tensor.shape) == 2 and tensor.shape[1] != 1]
    if not wide:
        return columns
    width, names = wide[0].shape[1], served.asked
    if len(question.inputs) > 1 or width != len(names):
        raise _bad(
            f"the input {wide[0].name!r} has {width} values a row",
            f"send one tensor a column, or one matrix of the {len(names)} columns {', '.join(names[:12])}",
        )
    flat = columns[wide[0].name]
    return {name: flat[place::width] for place, name in enumerate(names)}


def _event_times(given: Any, rows: int) -> list[int] | None:
    """Event times from the parameters: micros or ISO 8601, one for all rows or one a row. Errors: `request.invalid`."""
    if given is None:
        return None
    values = given if isinstance(given, list) else [given] * rows
    if len(values) != rows:
        raise _bad(f"event_time has {len(values)} values for {rows} rows")
    found = [from_iso(value) if isinstance(value, str) else value for value in values]
    if any(type(value) is not int for value in found):
        raise _bad("event_time is not a time", "send microseconds since 1970, or ISO 8601")
    return found


def _kind(served: Served, column: str) -> str:
    return "INT64" if column == served.endpoint.event else "FP64" if column in served.kinds else "BYTES"


def _version(served: Served, number: int) -> None:
    if number not in served.loaded:
        known = [str(version) for version in served.loaded]
        name = served.endpoint.name
        raise MillraceError(
            "version.unknown", f"version {number} is not served at {name!r}", nearest(str(number), known)
        )


def _number(text: str) -> int:
    if not text.isdigit() or len(text) > 9 or not int(text):
        raise _bad(f"{text[:40]!r} is not a version's number")
    return int(text)


def _bad(message: str, hint: str = "") -> MillraceError:
    return MillraceError("request.invalid", message, hint)


PROTOCOL = Protocol("/v2", OpenInference, (Question,), described.paths)
