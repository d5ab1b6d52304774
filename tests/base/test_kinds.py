from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from millrace.base.errors import MillraceError
from millrace.base.kinds import checked


@checked
def cut(name: str, *more: str, at: float = 0, by: Sequence[str] | str = (), tags: Mapping[str, Any] | None = None,
        into: str | Path = "", odd: frozenset[int] | None = None) -> str:  # fmt: skip
    """Answer the name."""
    return name


@pytest.mark.parametrize(
    "given",
    [
        {}, {"at": np.float32(1)}, {"at": np.int64(1)}, {"by": "a"}, {"by": ["a"]}, {"by": np.array(["a"])},
        {"tags": {}}, {"tags": None}, {"into": Path("a")}, {"odd": "what the annotation means is not known here"},
    ],
)  # fmt: skip
def test_what_the_annotations_say_is_taken(given: dict[str, Any]) -> None:
    assert cut("a", "b", **given) == "a"


@pytest.mark.parametrize(
    ("args", "given", "told"),
    [
        ((None,), {}, "cut: name is None, not a text"), (("a", 2), {}, "cut: more is 2, not a text"),
        (("a",), {"at": "x"}, "cut: at is 'x', not a number"),
        (("a",), {"by": None}, "cut: by is None, not a list of texts or a text"),
        (("a",), {"by": [1]}, r"cut: by is \[1\], not a list of texts or a text"),
        (("a",), {"by": {"a": 1}}, "cut: by is {'a': 1}, not a list of texts or a text"),
        (("a",), {"tags": ["a"]}, r"cut: tags is \['a'\], not a mapping"),
        (("a",), {"into": b"x" * 100}, "cut: into is b'x{78}…, not a text or a path"),
    ],
)  # fmt: skip
def test_another_kind_is_told(args: tuple[Any, ...], given: dict[str, Any], told: str) -> None:
    with pytest.raises(MillraceError, match=told) as caught:
        cut(*args, **given)
    assert (caught.value.code, caught.value.hint[:5]) == ("request.invalid", "give ")


def test_a_missing_argument_is_python_s_to_tell() -> None:
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'name'"):
        cut()  # type: ignore[call-arg]


def test_the_function_is_known_as_it_was() -> None:
    assert (cut.__name__, cut.__doc__) == ("cut", "Answer the name.")
