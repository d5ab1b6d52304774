"""What the converter leaves out of scikit-learn's trees: where an unknown value goes, and branches on categories.

skl2onnx 1.20 writes a forest's nodes without the side that a missing value takes, and reads a categorical split as a
threshold. The node numbers of its graph are the estimator's own, so both are put right in the converted graph: a split
on categories becomes a chain of "equals" branches to the same child.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

_FOREST = ("nodes_falsenodeids", "nodes_featureids", "nodes_missing_value_tracks_true", "nodes_modes",
           "nodes_nodeids", "nodes_treeids", "nodes_truenodeids", "nodes_values")  # fmt: skip


def mend(model: Any, estimator: Any) -> None:
    """Put the tree nodes of a converted model right, in place. Raises ValueError where graph and estimator differ."""
    last = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
    ensembles = [node for node in model.graph.node if node.op_type.startswith("TreeEnsemble")]
    if hasattr(last, "_predictors"):
        trees = [predictor for iteration in last._predictors for predictor in iteration]
        if any(tree.nodes["is_categorical"].any() for tree in trees):
            _mend_categories(_only(ensembles), last, trees)
    elif hasattr(last, "estimators_") or hasattr(last, "tree_"):
        members = np.ravel(getattr(last, "estimators_", [last]))
        if ensembles and all(hasattr(member, "tree_") for member in members):
            _mend_missing(_only(ensembles), [member.tree_ for member in members])


def _only(ensembles: list[Any]) -> Any:
    if len(ensembles) != 1:
        raise ValueError(f"the converted graph has {len(ensembles)} ensembles of trees")
    return ensembles[0]


def _mend_missing(node: Any, trees: list[Any]) -> None:
    found = _attributes(node)
    sides = [tree.__getstate__()["nodes"]["missing_go_to_left"] for tree in trees]
    pairs = zip(found["nodes_treeids"].ints, found["nodes_nodeids"].ints, strict=True)
    tracks = [int(sides[tree][place]) for tree, place in pairs]
    _set(found["nodes_missing_value_tracks_true"], tracks)


def _mend_categories(node: Any, estimator: Any, trees: list[Any]) -> None:
    found = _attributes(node)
    categorical = np.flatnonzero(estimator.is_categorical_)
    order = np.concatenate((categorical, np.flatnonzero(~estimator.is_categorical_)))  # the estimator's own order
    encoder = estimator._preprocessor.named_transformers_["encoder"]
    words = [[float(word) for word in known if word == word] for known in encoder.categories_]
    rows: list[tuple[Any, ...]] = []
    for number, tree in enumerate(trees):
        rows += _tree_rows(number, tree, order, words)
    columns = dict(zip(_FOREST, zip(*rows, strict=True), strict=True))
    for name, values in columns.items():
        _set(found[name], list(values))
    if "nodes_hitrates" in found:
        _set(found["nodes_hitrates"], [1.0] * len(rows))


def _tree_rows(number: int, tree: Any, order: Any, words: list[list[float]]) -> Iterator[tuple[Any, ...]]:
    """The rows of one tree in the order of `_FOREST`; what is added is numbered after the tree's own nodes."""
    nodes = tree.nodes
    fresh = len(nodes)
    for place, node in enumerate(nodes):
        feature = int(order[node["feature_idx"]])
        left, right = int(node["left"]), int(node["right"])
        missing = int(node["missing_go_to_left"])
        if node["is_leaf"]:
            yield 0, 0, 0, b"LEAF", place, number, 0, 0.0
        elif not node["is_categorical"]:
            yield right, feature, missing, b"BRANCH_LEQ", place, number, left, _below(float(node["num_threshold"]))
        else:
            known = words[int(node["feature_idx"])]
            bits = tree.raw_left_cat_bitsets[int(node["bitset_idx"])]
            goes_left = [bool(int(bits[code // 32]) >> (code % 32) & 1) for code in range(len(known))]
            # An unknown word goes where a missing value goes, so the chain lists the words of the other side.
            chosen = [word for word, side in zip(known, goes_left, strict=True) if side != bool(missing)]
            hit, miss = (right, left) if missing else (left, right)
            here = place
            for nth, word in enumerate(chosen):
                last = nth == len(chosen) - 1
                after = miss if last else fresh
                yield after, feature, 0, b"BRANCH_EQ", here, number, hit, word
                here, fresh = after, fresh + (not last)
            if not chosen:
                raise ValueError("a split that sends every word to one side")


def _below(threshold: float) -> float:
    """The largest float32 that is not above `threshold`, so that float32 values compare as they did in float64."""
    near = np.float32(threshold)
    return float(np.nextafter(near, np.float32(-np.inf)) if float(near) > threshold else near)


def _attributes(node: Any) -> dict[str, Any]:
    return {attribute.name: attribute for attribute in node.attribute}


def _set(attribute: Any, values: list[Any]) -> None:
    kind = "floats" if isinstance(values[0], float) else "strings" if isinstance(values[0], bytes) else "ints"
    held = getattr(attribute, kind)
    del held[:]
    held.extend(values)
