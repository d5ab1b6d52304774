"""Protocols that other tools speak. Each module translates: foreign request, op, foreign answer. Nothing else.

The application and the OpenAPI document read this list.
"""

from __future__ import annotations

from millrace.http.speaks import oip
from millrace.http.speaks.protocol import Protocol

PROTOCOLS: tuple[Protocol, ...] = (oip.PROTOCOL,)
