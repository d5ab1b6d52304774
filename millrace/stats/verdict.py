"""A statistical answer as a value, and the checks that keep nonsense out of it.

Gates, approvals, alerts, rollouts and model cards all speak `Verdict`; it is stored as evidence, so it can always
be written as JSON and never holds NaN or an infinity. The checks raise a `MillraceError` with a `stats.*` code
before a bad number can reach a formula.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray

from millrace.base.errors import MillraceError, nearest

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Unit = Literal["request", "unit", "block", "row", "window"]
GAPS = "NaN where a value is not known"  # these three: what a state's field may hold besides, which `door.py` reads
NONE_YET = "−1 while there is none"
NO_BOUND_YET = "infinite while there is none"
Gapped = Annotated[NDArray[np.float64], GAPS]
Latest = Annotated[int, NONE_YET]
Bound = Annotated[float, NO_BOUND_YET]

ALARM = "alarm"  # harm, drift or a broken assumption is shown
PROVEN = "proven"  # what the claim says is shown
QUIET = "quiet"  # enough was seen, and nothing is shown; this is no proof of health
UNDECIDED = "undecided"  # not enough evidence yet

SMALLEST_ALPHA = 1e-300  # 1/α is a bound that a verdict can hold
LARGEST = 1e300  # evidence beyond this is reported as this: a verdict holds finite numbers only
_LARGEST_VALUE = 1e100  # of data: squares and sums of squares stay finite
_LARGEST_WHOLE = 2.0**62  # of numbers and times, which become int64
_LARGEST_SUM = 2.0**60  # of counts, so that a few of their sums can be added up


class Verdict(Struct, frozen=True, kw_only=True):
    """One statistical answer.

    `claim` is what the decision is about, in words; `unit` is what counts as one independent piece of evidence and
    `n` how many of those were seen; `statistic` is compared with `bound` at error rate `alpha`; `decision` is one of
    `ALARM`, `PROVEN`, `QUIET`, `UNDECIDED`; `because` is the sentence a person reads. `effect` is the estimate in the
    claim's own units and `interval` the confidence interval or sequence around it, both absent while unknown.
    `design_effect` is how many rows carry the information of one independent row (1 for independent rows).

    Every float is finite; an infinite one is cut at ±`LARGEST`, NaN is a defect of the caller.
    """

    claim: str
    unit: Unit
    n: int
    statistic: float
    bound: float
    alpha: float
    decision: str
    because: str
    effect: float | None = None
    interval: tuple[float, float] | None = None
    design_effect: float | None = None

    def __post_init__(self) -> None:
        numbers = [self.statistic, self.bound, self.alpha, self.effect, self.design_effect, *(self.interval or ())]
        assert all(x is None or (math.isfinite(x) and abs(x) <= LARGEST) for x in numbers), f"not finite: {numbers}"
        assert self.n >= 0, f"a verdict on {self.n} {self.unit}s"

    @property
    def decided(self) -> bool:
        """Whether anything is shown, for or against."""
        return self.decision in (ALARM, PROVEN)


def finite(x: float) -> float:
    """`x` as a float that a verdict may hold: infinities become ±`LARGEST`; NaN is an assertion."""
    value = float(x)
    assert not math.isnan(value), "NaN must not reach a verdict"
    return min(max(value, -LARGEST), LARGEST)


def figure(value: float, digits: int = 3) -> str:
    """A number as a person reads it: rounded to so many digits, without an exponent from a thousandth to a billion."""
    rounded = float(f"{value:.{digits}g}")
    return f"{rounded:,.0f}" if 1_000 <= abs(rounded) < 1e9 else f"{rounded:.{digits}g}"


def evidence(log_e: float) -> float:
    """e to the power `log_e` as a float that a verdict may hold."""
    assert not math.isnan(log_e), "NaN must not reach a verdict"
    return math.exp(log_e) if log_e < math.log(LARGEST) else LARGEST


def check_choice(value: Any, what: str, known: Sequence[str]) -> None:
    """One of the words that there are. Errors: stats.data, with the nearest."""
    if not (isinstance(value, str) and value in known):
        raise MillraceError("stats.data", f"no {what} {value!r:.60}", nearest(str(value)[:60], known))


def check_alpha(alpha: float) -> float:
    """An error rate from 1e-300 to below 1. Errors: stats.alpha."""
    if not (isinstance(alpha, (int, float, np.floating)) and SMALLEST_ALPHA <= alpha < 1):
        raise MillraceError("stats.alpha", f"α is {alpha!r}", "give an error rate between 0 and 1, such as 0.05")
    return float(alpha)


def check_margin(margin: float, *, largest: float = 1.0, such: float = 0.005) -> float:
    """A margin of tolerated harm in (0, `largest`), in the metric's own units; `such` is one. Errors: stats.margin."""
    number = float(margin) if isinstance(margin, np.floating) else margin
    if not (isinstance(number, (int, float, np.integer)) and 0 < number < min(largest, LARGEST)):
        below = f" and below {largest:g}" if math.isfinite(largest) else ""
        hint = f"say how much worse is still good enough: a number above 0{below}, such as {such:g}"
        raise MillraceError("stats.margin", f"the margin is {margin!r}", hint)
    return float(margin)


def check_share(share: float, what: str = "weight") -> float:
    """A share or weight in [0, 1]. Errors: stats.weight."""
    if not (isinstance(share, (int, float, np.integer, np.floating)) and 0 <= share <= 1):
        raise MillraceError("stats.weight", f"the {what} is {share!r}", f"give a {what} between 0 and 1")
    return float(share)


def check_open_share(share: float, what: str = "weight") -> float:
    """A share or weight in (0, 1): both arms get traffic. Errors: stats.weight."""
    if not 0 < check_share(share, what) < 1:
        hint = "at 0 or 1 one arm sees nothing, so the arms cannot be compared; leave such requests out"
        raise MillraceError("stats.weight", f"the {what} is {share!r}", hint)
    return float(share)


def check_shares(shares: ArrayLike, what: str = "weights") -> Floats:
    """An array of weights in [0, 1], any shape, as float64. Errors: stats.weight."""
    array = numbers(shares, what, code="stats.weight")
    if array.size and not (float(array.min()) >= 0 and float(array.max()) <= 1):
        worst = float(array[(array < 0) | (array > 1)].flat[0])
        raise MillraceError("stats.weight", f"one of the {what} is {worst!r}", "give weights between 0 and 1")
    return array


def plain(values: ArrayLike, what: str, *, code: str = "stats.data") -> NDArray[Any]:
    """`values` as an array of their own type. Errors: `code` where entries are masked, stats.shape for ragged rows."""
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        lost = int(np.ma.getmaskarray(values).sum())
        raise MillraceError(code, f"{lost} of {values.size} {what} are masked", f"leave out rows without {what}")
    try:
        return np.asarray(values)
    except ValueError as error:
        raise MillraceError("stats.shape", f"{what}: {error}", "give rows of one length") from None


def numbers(values: ArrayLike, what: str, *, code: str = "stats.data") -> Floats:
    """`values` as float64, all finite; text, times and complex numbers are none. Errors: `code`, stats.shape."""
    if type(values) is np.ndarray and values.dtype == np.float64:
        return _all_finite(values, what, code)
    raw = plain(values, what, code=code)
    if raw.dtype.kind not in "biufO":
        raise MillraceError(code, f"{what} of dtype {raw.dtype}", f"give {what} as real numbers; times in microseconds")
    try:
        with np.errstate(over="ignore"):  # a wider float that overflows is infinite here, and refused as such
            array = np.asarray(raw, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise MillraceError(code, f"{what}: {error}", f"give {what} as numbers") from None
    return _all_finite(array, what, code)


def _all_finite(array: Floats, what: str, code: str) -> Floats:
    if not np.isfinite(array).all():
        bad = int(array.size - np.isfinite(array).sum())
        hint = f"leave out or fill rows without {what} before they count as evidence"
        raise MillraceError(code, f"{bad} of {array.size} {what} are NaN or infinite", hint)
    return array


def scalar(value: float, what: str, *, code: str = "stats.data") -> float:
    """One finite number within ±1e100 as a float. Errors: `code`."""
    number = float(value) if isinstance(value, np.floating) else value
    if not (isinstance(number, (int, float, np.integer)) and -_LARGEST_VALUE <= number <= _LARGEST_VALUE):
        raise MillraceError(code, f"the {what} is {value!r}", "give one finite number, in units that keep it small")
    return float(value)


def within(array: Floats, what: str, *, most: float = _LARGEST_VALUE) -> Floats:
    """`array` if all of it lies within ±`most`: squares and their sums stay finite. Errors: stats.data."""
    if array.size and float(np.abs(array).max()) > most:
        hint = "look for a fill value; choose other units"
        raise MillraceError("stats.data", f"one of the {what} is beyond ±{most:g}", hint)
    return array


def column(values: ArrayLike, what: str, *, most: float = _LARGEST_VALUE) -> Floats:
    """`values` as a one-dimensional float64 array, all within ±`most`. Errors: stats.data, stats.shape."""
    array = numbers(values, what)
    if array.ndim != 1:
        raise MillraceError("stats.shape", f"{what} have shape {array.shape}", "give one dimension: a value a row")
    return within(array, what, most=most)


def check_losses(values: ArrayLike, what: str = "losses") -> Floats:
    """A column of values in [0, 1], as the bounded methods need them. Errors: stats.data, stats.shape."""
    array = column(values, what)
    if array.size and not (float(array.min()) >= 0 and float(array.max()) <= 1):
        worst = float(array[(array < 0) | (array > 1)][0])
        raise MillraceError("stats.data", f"one of the {what} is {worst!r}", "clip or scale them to [0, 1]")
    return array


def check_counts(values: ArrayLike, what: str = "counts") -> Ints:
    """An array of counts ≥ 0, any shape, as int64; their sum is at most 2^60. Errors: stats.data."""
    array = check_ids(values, what)
    if array.size and array.sum(dtype=np.float64) > _LARGEST_SUM:
        raise MillraceError("stats.data", f"the {what} add up to more than 2^60", "look for a fill value")
    return array


def check_count_rows(what: str, *columns: ArrayLike) -> Ints:
    """Counts of one shape (…, b) each, side by side: int64 (…, m·b). Errors: stats.data, stats.shape."""
    if all(type(c) is np.ndarray and c.dtype == np.int64 and c.shape == columns[0].shape for c in columns):  # type: ignore[union-attr]
        stacked: Ints = np.concatenate(columns, axis=-1)
        known = stacked.size > 0 and stacked.min() >= 0 and int(stacked.max()) * stacked.size <= _LARGEST_SUM
        if known:  # one look at all of them, since a batch is small and comes often
            return stacked
    checked = [check_counts(c) for c in columns]
    shapes = sorted({c.shape for c in checked})
    if len(shapes) != 1 or not shapes[0]:
        raise MillraceError("stats.shape", f"{what} have shapes {shapes}", "give one value a row in each")
    return np.concatenate(checked, axis=-1)


def check_ids(values: ArrayLike, what: str) -> Ints:
    """An array of whole numbers from 0 to 2^62, any shape, as int64. Errors: stats.data."""
    known = type(values) is np.ndarray and values.dtype == np.int64 and values.size > 0
    if known and values.min() >= 0 and values.max() <= _LARGEST_WHOLE:  # type: ignore[union-attr]
        return values  # type: ignore[return-value]
    array = numbers(values, what)
    whole = bool((array == np.floor(array)).all())
    if array.size and not (whole and float(array.min()) >= 0 and float(array.max()) <= _LARGEST_WHOLE):
        raise MillraceError("stats.data", f"the {what} are not whole numbers ≥ 0", "give plain counts")
    return array.astype(np.int64)


def check_rising(times: ArrayLike, what: str = "timestamps") -> Ints:
    """Times that are ≥ 0 and strictly rising, as int64 microseconds. Errors: stats.time."""
    array = numbers(times, what, code="stats.time")
    bad = array.ndim != 1 or (array.size and not (float(array.min()) >= 0 and float(array.max()) <= _LARGEST_WHOLE))
    if bad or bool((np.diff(array) <= 0).any()):
        hint = "give each block or window once, in the order of event time, in microseconds since 1970"
        raise MillraceError("stats.time", f"the {what} are negative, repeated or out of order", hint)
    return array.astype(np.int64)


def same_length(what: str, *columns: Sequence[Any] | NDArray[Any]) -> int:
    """The common length of the columns. Errors: stats.shape."""
    try:
        lengths = {len(c) for c in columns}
    except TypeError as error:
        raise MillraceError("stats.shape", f"{what}: {error}", "give columns, not single values") from None
    if len(lengths) != 1:
        raise MillraceError("stats.shape", f"{what} have lengths {sorted(lengths)}", "give one value a row in each")
    return lengths.pop()


def same_rows(what: str, *columns: NDArray[Any]) -> int:
    """The common length of one-dimensional columns. Errors: stats.shape."""
    shapes = {np.shape(c) for c in columns}
    shape = next(iter(shapes))
    if len(shapes) != 1 or len(shape) != 1:
        raise MillraceError("stats.shape", f"{what} have shapes {sorted(shapes)}", "give one value a row in each")
    return int(shape[0])


def of_shape(what: str, shape: tuple[int, ...], *arrays: ArrayLike) -> None:
    """Arrays of one known shape. Errors: stats.shape."""
    for array in arrays:
        if np.shape(array) != shape:
            raise MillraceError("stats.shape", f"{what} of shape {np.shape(array)}, not {shape}", "start anew")


def check_arms(arms: ArrayLike, what: str = "arms") -> NDArray[np.bool_]:
    """Yes or no for each row, from bool or 0 and 1; any shape. Errors: stats.data."""
    array = plain(arms, what)
    if array.dtype == np.bool_:
        return array
    known = numbers(array, what)
    if not ((known == 0) | (known == 1)).all():
        raise MillraceError("stats.data", f"the {what} are neither yes nor no", "give true or false, or 1 and 0")
    return np.asarray(known == 1)


def check_whole(value: float, what: str, *, least: int = 0, most: int = 2**53, code: str = "stats.data") -> int:
    """A whole number from `least` to `most`. Errors: `code` (stats.data unless said otherwise)."""
    whole = isinstance(value, int | np.integer) or (isinstance(value, float | np.floating) and value == value // 1)
    if not (whole and least <= value <= most):
        hint = f"give a whole number from {least}" + (f" to {most}" if most < 2**53 else "")
        raise MillraceError(code, f"the {what} is {value!r}", hint)
    return int(value)


def broadcast(*named: tuple[ArrayLike, str], most: float = _LARGEST_VALUE) -> list[Floats]:
    """Arrays of numbers within ±`most` that stretch to one shape. Errors: stats.data, stats.shape."""
    arrays = [within(numbers(values, what), what, most=most) for values, what in named]
    try:
        return [np.asarray(a) for a in np.broadcast_arrays(*arrays)]
    except ValueError:
        shapes = ", ".join(f"{what} {a.shape}" for a, (_, what) in zip(arrays, named, strict=True))
        raise MillraceError("stats.shape", f"shapes that do not fit: {shapes}", "give one shape, or a number") from None
