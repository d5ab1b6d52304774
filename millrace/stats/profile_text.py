"""Text as a few numbers that need no language: length, words, kinds of characters, and words the reference lacks.

Claim: a shift in any of these is a shift in the texts; texts that change meaning while keeping length, alphabet and
vocabulary are not seen (give their embeddings as a vector column for that). Unit: one text. Words are runs of letters
and digits, lower case; scripts written without spaces give one word a run, and for them the character shares speak.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from millrace.stats import distinct
from millrace.stats.verdict import Floats

VOCABULARY = 65_536  # words of the reference that are remembered, the most frequent first
COMMON = 20  # times that a word must have come to be remembered, where many came only once
UNKNOWN = "unknown"
LONGEST = 20_000  # characters of a text that are read for its shares; the length is always the whole one

_WORD = re.compile(r"\w+")


def words(texts: Sequence[str | None]) -> Counter[str]:
    """How often each word came."""
    total: Counter[str] = Counter()
    for text in texts:
        if text:
            total.update(_WORD.findall(text[:LONGEST].lower()))
    return total


def measures(texts: Sequence[str | None], vocabulary: bytes) -> dict[str, Floats]:
    """Per text, NaN where it is missing: `length` (characters), `words`, `word_length` (characters a word), the
    shares of `letters`, `digits`, `capitals` and `foreign` (beyond ASCII) characters; with a vocabulary (packed codes
    of `bins.codes`) also `unknown`, the share of words that the reference lacks. Each float64 (rows,).
    """
    rows = len(texts)
    names = ["length", "words", "word_length", "letters", "digits", "capitals", "foreign"]
    table = np.full((len(names), rows), math.nan)
    unknown = np.full(rows, math.nan)
    known = set(np.frombuffer(vocabulary, "<u4").tolist())
    for row, text in enumerate(texts):
        if text is None:
            continue
        read = text[:LONGEST]
        found = _WORD.findall(read)
        size = max(len(read), 1)
        letters = sum(map(str.isalpha, read))
        table[:, row] = (
            len(text),
            len(found),
            sum(map(len, found)) / len(found) if found else 0.0,
            letters / size,
            sum(map(str.isdigit, read)) / size,
            sum(map(str.isupper, read)) / size,
            0.0 if read.isascii() else sum(c > "\x7f" for c in read) / size,
        )
        if known:
            strange = sum(distinct.text_code(w.lower()) not in known for w in found)
            unknown[row] = strange / len(found) if found else 0.0
    parts = dict(zip(names, table, strict=True))
    return parts | {UNKNOWN: unknown} if known else parts
