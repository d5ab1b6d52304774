"""The page: static files with what a browser must be told about them.

The files lie in `millrace/ui/` as they are served; nothing is built. They are served under ``/ui/DIGEST/``, a digest of
all of them, so a browser may keep them for ever and a changed file is another address. The document itself is asked
for each time, is short, and answers every path of a page to whoever takes HTML; to others ``/`` tells in JSON what this
is and where to go on. Its only inline script, the import map, is allowed by hash.
The files hold nothing secret and are served to anybody; what the page shows comes from the API, which asks who calls.
"""

from __future__ import annotations

import gzip
import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import msgspec
from starlette.responses import Response

from millrace import __version__

UI = Path(__file__).parent.parent / "ui"
_TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml",
          ".json": "application/json", ".txt": "text/plain"}  # fmt: skip
_IMPORT_MAP = re.compile(rb'<script type="importmap">(.*?)</script>', re.DOTALL)
_FOR_EVER = "public, immutable, max-age=31536000"
FRONT = {
    "name": "millrace",
    "version": __version__,
    "page": "/",
    "health": "/health",
    "openapi": "/api/v1/openapi.json",
    "verbs": "/api/v1/{noun.verb}",
    "facts": "/api/v1/facts",
    "predictions": "/v2",
}


class File(NamedTuple):
    """A file as it is sent: its type, and its bytes plain and packed."""

    kind: str
    plain: bytes
    packed: bytes


class Page:
    """The files of one folder. Safe from any thread: a change replaces the whole state at once."""

    def __init__(self, folder: Path = UI) -> None:
        self._folder = folder
        self._seen: tuple[object, ...] = ()
        self._digest = ""
        self._files: dict[str, File] = {}
        self._document = File("text/html", b"", b"")
        self._policy = ""
        self._load()

    def answer(self, path: str, headers: dict[bytes, bytes]) -> Response | None:
        """What the page has at `path`: one of its files, the document for a browser that asks for a page, or None."""
        packs = b"gzip" in headers.get(b"accept-encoding", b"")
        if path.startswith("/ui/"):
            digest, _, name = path[4:].partition("/")
            found = self._files.get(name)
            if found is None:
                return None
            kept = _FOR_EVER if digest == self._digest else "no-cache"
            return _response(found, packs, {"Cache-Control": kept})
        if path.startswith(("/api/", "/v2", "/health")):
            return None
        if b"text/html" not in headers.get(b"accept", b""):
            return _response(_FRONT, packs, {"Cache-Control": "no-cache", "Vary": _VARIES}) if path == "/" else None
        self._load()
        tag = f'"{self._digest}"'
        told = {"Cache-Control": "no-cache", "ETag": tag, "Vary": _VARIES, "Content-Security-Policy": self._policy}
        if headers.get(b"if-none-match", b"").decode("latin-1").removeprefix("W/") == tag:
            return Response(status_code=304, headers=told)
        return _response(self._document, packs, told)

    def _load(self) -> None:
        paths = sorted(path for path in self._folder.rglob("*") if path.suffix in _TYPES)
        seen = tuple((path, path.stat().st_mtime_ns, path.stat().st_size) for path in paths)
        if seen == self._seen:
            return
        contents = {path.relative_to(self._folder).as_posix(): path.read_bytes() for path in paths}
        whole = sha256()
        for name, content in contents.items():
            whole.update(name.encode() + b"\0" + sha256(content).digest())
        digest = whole.hexdigest()[:16]
        base = f"/ui/{digest}".encode()
        modules = [name for name in contents if name.endswith(".js")]
        ahead = b"\n".join(b'<link rel="modulepreload" href="%s/%s">' % (base, name.encode()) for name in modules)
        document = contents.pop("index.html").replace(b"{base}", base).replace(b"{preload}", ahead)
        self._files = {name: _file(name, content) for name, content in contents.items()}
        self._document = _file("index.html", document)
        self._policy = policy(document)
        self._digest, self._seen = digest, seen


def policy(document: bytes) -> str:
    """The content security policy of a document: its own files, and its import map by hash; nothing else."""
    found = _IMPORT_MAP.search(document)
    inline = f" 'sha256-{b64encode(sha256(found[1]).digest()).decode()}'" if found else ""
    return (
        f"default-src 'none'; script-src 'self'{inline}; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        "connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _file(name: str, content: bytes) -> File:
    return File(_TYPES[Path(name).suffix], content, gzip.compress(content, 6, mtime=0))


_VARIES = "Accept, Accept-Encoding"
_FRONT = _file("front.json", msgspec.json.encode(FRONT) + b"\n")


def _response(file: File, packs: bool, headers: dict[str, str]) -> Response:
    told = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "Vary": "Accept-Encoding"}
    if packs:
        told["Content-Encoding"] = "gzip"
    return Response(file.packed if packs else file.plain, headers={**told, **headers}, media_type=file.kind)
