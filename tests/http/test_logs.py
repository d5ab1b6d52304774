"""Log lines: JSON for a machine, with the trace of a defect inside the line."""

from __future__ import annotations

import json
import subprocess
import sys

PROGRAM = """
import logging
from millrace.http import logs
logs.start()
logging.getLogger("millrace").info("ready at %s", "ü\\n")
logging.getLogger("uvicorn.error").info("not told")
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("millrace.http").exception("a defect")
"""


def test_lines_are_json_when_nobody_watches() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    ready, defect = (json.loads(line) for line in done.stderr.splitlines())
    assert (ready["level"], ready["from"], ready["message"]) == ("info", "millrace", "ready at ü\n")
    assert ready["at"].endswith("+00:00")
    assert (defect["level"], defect["message"]) == ("error", "a defect")
    assert defect["trace"].endswith("ZeroDivisionError: division by zero")
