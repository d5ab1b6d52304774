"""The server's log on standard error: lines for a person on a terminal, JSON lines otherwise."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime

import msgspec


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "from": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


class _Human(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")


def start(level: int = logging.INFO) -> None:
    """Send every logger to standard error, once."""
    target = logging.StreamHandler(sys.stderr)
    target.setFormatter(_Human() if sys.stderr.isatty() else _Json())
    logging.basicConfig(level=level, handlers=[target], force=True)
    for name in ("uvicorn.error", "uvicorn.access", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
