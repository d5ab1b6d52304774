"""How a step's answer is stored: by content, in formats that cannot run code.

An answer becomes a tree. ``value.json`` says how it is put together; arrays, bytes and files lie beside it. A model by
itself becomes the tree that `millrace.pipelines.models` packs it into, so that it can be registered and served as it
is. Equal answers have equal digests.
"""

from __future__ import annotations

import io
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from millrace.base.errors import MillraceError
from millrace.pipelines import models
from millrace.store import tree
from millrace.store.blobs import Blobs, Content, Digest

HEAD = "value.json"
_SMALL = 1 << 63


class Json(Struct, frozen=True, tag="json"):
    value: Any


class Number(Struct, frozen=True, tag="number"):
    """A float or whole number that JSON does not hold exactly, as Python writes it."""

    text: str


class Array(Struct, frozen=True, tag="array"):
    """A NumPy array in a file of its own; text and None are kept in `items`. `scalar` for a NumPy number."""

    file: str = ""
    shape: tuple[int, ...] = ()
    items: list[str | None] | None = None
    scalar: bool = False


class Bytes(Struct, frozen=True, tag="bytes"):
    file: str


class File(Struct, frozen=True, tag="file"):
    """A file or folder, under its own name."""

    path: str
    name: str


class Model(Struct, frozen=True, tag="model"):
    """A model's tree below a folder."""

    folder: str


class Items(Struct, frozen=True, tag="items"):
    items: tuple[Kept, ...]
    fixed: bool = False


class Fields(Struct, frozen=True, tag="fields"):
    items: dict[str, Kept]


Kept = Json | Number | Array | Bytes | File | Model | Items | Fields
_KEPT: msgspec.json.Decoder[Kept] = msgspec.json.Decoder(Kept)


def store(blobs: Blobs, answer: Any, rows: Any = None) -> Digest:
    """Store an answer; its tree's digest. `rows` are those a model was fitted on.

    Errors: `step.answer` for what cannot be stored, `model.sample`, and what storing and packing raise.
    """
    if models.is_model(answer):
        return tree.make(blobs, models.pack(answer, rows))
    files: dict[str, Content | tree.Entry] = {}
    kept = _keep(answer, "answer", files, rows)
    files[HEAD] = msgspec.json.encode(kept)
    return tree.make(blobs, files)


def load(blobs: Blobs, digest: Digest, scratch: Path) -> Any:
    """The answer again; files are written below the folder `scratch`. Errors: `blob.unknown`, `blob.corrupt`."""
    stored = tree.read(blobs, digest)
    if not any(entry.path == HEAD for entry in stored):
        return models.load(blobs, digest)
    kept = _KEPT.decode(blobs.get(stored.entry(HEAD).digest))
    return _load(kept, stored, blobs, scratch)


def plain(blobs: Blobs, digest: Digest) -> tuple[Any, str]:
    """(an answer that is a JSON value, "") or (None, what else it is): for showing, without loading anything large."""
    stored = tree.read(blobs, digest)
    if not any(entry.path == HEAD for entry in stored):
        return None, "a model"
    kept = _KEPT.decode(blobs.get(stored.entry(HEAD).digest))
    return (kept.value, "") if isinstance(kept, Json) else (None, _WORDS[type(kept)])


_NOT_ALL = "of which not all is JSON, as NaN, infinity, tuples, arrays and models are not"
_WORDS: dict[type[Kept], str] = {
    Number: "NaN, infinity or a number beyond 64 bits",
    Array: "an array",
    Bytes: "bytes",
    File: "a file",
    Model: "a model",
    Items: f"a list or tuple {_NOT_ALL}",
    Fields: f"a dict {_NOT_ALL}",
}


def _keep(value: Any, place: str, files: dict[str, Content | tree.Entry], rows: Any) -> Kept:
    if _is_json(value):
        return Json(value)
    kind = type(value)
    if kind in (int, float):
        return Number(repr(value))
    if kind in (list, tuple):
        parts = (_keep(item, f"{place}/{number}", files, rows) for number, item in enumerate(value))
        return Items(tuple(parts), kind is tuple)
    if kind is dict and all(isinstance(key, str) for key in value):
        return Fields({k: _keep(item, f"{place}/{n}", files, rows) for n, (k, item) in enumerate(value.items())})
    if isinstance(value, np.ndarray | np.generic):
        return _keep_array(value, place, files)
    if kind in (bytes, bytearray):
        files[place] = bytes(value)
        return Bytes(place)
    if isinstance(value, Path):
        return _keep_file(value, place, files)
    if models.is_model(value):
        for name, content in models.pack(value, rows).items():
            files[f"{place}/{name}"] = content
        return Model(place)
    if kind is dict:
        key = next(key for key in value if not isinstance(key, str))
        told = f"{place} is a dict with the key {key!r:.80} of type {type(key).__qualname__}"
        raise MillraceError("step.answer", told, "a dict's keys must be text: {str(key): …}")
    raise MillraceError(
        "step.answer", f"{place} is a {kind.__module__}.{kind.__qualname__}, which cannot be stored",
        "answer plain values, NumPy arrays, bytes, files (pathlib.Path), models, or lists and dicts of these",
    )  # fmt: skip


def _is_json(value: Any) -> bool:
    kind = type(value)
    if value is None or kind in (bool, str):
        return True
    if kind is int:
        return bool(-_SMALL <= value < _SMALL)
    if kind is float:
        return math.isfinite(value)
    if kind is list:
        return all(map(_is_json, value))
    if kind is not dict:
        return False
    return all(type(key) is str for key in value) and all(map(_is_json, value.values()))


def _keep_array(value: Any, place: str, files: dict[str, Content | tree.Entry]) -> Array:
    scalar = isinstance(value, np.generic)
    array = np.asarray(value)
    if array.dtype == object:
        items = array.ravel().tolist()
        if not all(item is None or type(item) is str for item in items):
            raise MillraceError(
                "step.answer", f"{place} is an array of objects", "arrays hold numbers, text, or text and None"
            )
        return Array("", array.shape, items)
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    files[f"{place}.npy"] = buffer.getvalue()
    return Array(f"{place}.npy", scalar=scalar)


def _keep_file(value: Path, place: str, files: dict[str, Content | tree.Entry]) -> File:
    if value.is_file():
        files[f"{place}/{value.name}"] = value
    elif value.is_dir():
        found = [file for file in sorted(value.rglob("*")) if file.is_file() and not file.is_symlink()]
        files.update({f"{place}/{value.name}/{file.relative_to(value).as_posix()}": file for file in found})
    else:
        raise MillraceError("step.answer", f"{place}: there is no file {value}", "write the file before answering it")
    return File(place, value.name)


def _load(kept: Kept, stored: tree.Tree, blobs: Blobs, scratch: Path) -> Any:
    match kept:
        case Json(value):
            return value
        case Number(text):
            return float(text) if not text.lstrip("-").isdigit() else int(text)
        case Items(items, fixed):
            found = [_load(item, stored, blobs, scratch) for item in items]
            return tuple(found) if fixed else found
        case Fields(items=named):
            return {key: _load(item, stored, blobs, scratch) for key, item in named.items()}
        case Array():
            return _load_array(kept, stored, blobs)
        case Bytes(file):
            return blobs.get(stored.entry(file).digest)
        case File(path, name):
            return _load_file(stored, blobs, scratch, path, name)
        case Model(folder):
            return models.load(blobs, tree.write(blobs, stored.under(folder)))


def _load_array(kept: Array, stored: tree.Tree, blobs: Blobs) -> Any:
    if kept.items is not None:
        array = np.empty(len(kept.items), object)
        array[:] = kept.items
        return array.reshape(kept.shape)
    array = np.load(io.BytesIO(blobs.get(stored.entry(kept.file).digest)), allow_pickle=False)
    return array[()] if kept.scalar else array


def _load_file(stored: tree.Tree, blobs: Blobs, scratch: Path, path: str, name: str) -> Path:
    root = scratch / path.replace("/", "-")
    for entry in stored.under(path):
        place = root / entry.path
        place.parent.mkdir(parents=True, exist_ok=True)
        with blobs.open(entry.digest) as source, place.open("wb") as target:
            shutil.copyfileobj(source, target)
    return root / name


def sample_of(arguments: Mapping[str, Any]) -> Any:
    """The rows that a model was fitted on: the first argument that has a training part."""
    for value in arguments.values():
        if hasattr(value, "train") and hasattr(value, "signature_inputs"):
            return value
    return None
