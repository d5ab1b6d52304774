"""Who is asking? Every request passes here before anything else looks at it.

Bound to loopback the actor is `local`, and a token may name another; requests that a foreign page or a rebound name
sent are refused. Bound to anything else, a token is always asked for. Wrong tokens cost their address time
(`millrace.http.throttle`); who showed a right one before is not shut out by a neighbour who guesses.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from millrace.access.context import Context, Ground
from millrace.access.ops import authenticate
from millrace.access.records import LOCAL, Caller
from millrace.base.errors import MillraceError
from millrace.http.throttle import Throttle

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]", "::1")
_OWN_PAGE = "use the server's own page"
_RIGHT = 10_000  # tokens that are remembered as right, by hash
_SAFE = ("GET", "HEAD", "OPTIONS")


def is_loopback(host: str) -> bool:
    return host in _LOOPBACK


class Doorman:
    """Checks one request's headers. `host` is the address the server is bound to."""

    def __init__(self, ground: Ground, host: str) -> None:
        self._ground = ground
        self._local = is_loopback(host)
        self._throttle = Throttle()
        self._right: OrderedDict[bytes, None] = OrderedDict()

    def admit(self, method: str, headers: dict[bytes, bytes], remote: str = "") -> Caller:
        """The caller, whose address is `remote`.

        Errors: `access.foreign`, `access.required`, `access.throttled`, `token.invalid`, `token.expired`.
        """
        self.refuse_foreign(method, headers)
        shown = headers.get(b"authorization", b"").decode("latin-1")
        if shown:
            return self._known(shown, remote)
        if not self._local:
            raise MillraceError("access.required", "this server asks for a token", "set MILLRACE_TOKEN")
        return LOCAL

    def _known(self, shown: str, remote: str) -> Caller:
        mark = blake2b(shown.encode(), digest_size=16).digest()
        if mark not in self._right:
            self._throttle.check(remote)
        try:
            scheme, _, secret = shown.partition(" ")
            if scheme.lower() != "bearer":
                raise MillraceError("token.invalid", f"authorization by {scheme!r}", "send Authorization: Bearer mr_…")
            with self._ground.catalog.read() as tx:
                caller = authenticate(secret.strip(), Context(self._ground, LOCAL, "main", tx))
        except MillraceError as fault:
            if fault.code.startswith("token."):
                self._right.pop(mark, None)
                self._throttle.failed(remote)
            raise
        self._right[mark] = None
        while len(self._right) > _RIGHT:
            self._right.popitem(last=False)
        return caller

    def refuse_foreign(self, method: str, headers: dict[bytes, bytes]) -> None:
        """Bound to loopback: errors with `access.foreign` what another site's page or a rebound name sent."""
        if not self._local:
            return
        host = headers.get(b"host", b"").decode("latin-1")
        if _name_of(host) not in _LOOPBACK:
            raise MillraceError("access.foreign", f"the request names the host {host!r}", "use http://127.0.0.1:PORT")
        origin = headers.get(b"origin", b"").decode("latin-1")
        if origin and origin.partition("://")[2] != host:
            raise MillraceError(
                "access.foreign", f"the request came from a page of {origin}", "use the server's own page"
            )
        site = headers.get(b"sec-fetch-site", b"none").decode("latin-1")
        if method not in _SAFE and site not in ("none", "same-origin"):
            raise MillraceError(
                "access.foreign", "the request came from another site's page", "use the server's own page"
            )


def remote_of(scope: Mapping[str, Any]) -> str:
    """The address that a request came from; "" where there is none, as over a socket of the file system."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def _name_of(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.rpartition(":")[0] if ":" in host else host
