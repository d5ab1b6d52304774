"""The only SQL of tuning."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import BindParameter, bindparam, func, select

from millrace.catalog.schema import integer, table, text
from millrace.catalog.statements import insert_absent, upsert
from millrace.catalog.tx import Tx
from millrace.tuning.records import Study, Trial

_study = table("study", text("workspace", key=True), text("name", key=True), text("definition"))
_trial = table(
    "trial",
    text("workspace", key=True),
    text("study", key=True),
    integer("number", key=True),
    text("params"),
    text("run"),
)
_place: BindParameter[Any] = bindparam("place")
_which: BindParameter[Any] = bindparam("which")
_put_study = upsert(_study)
_studies = select(_study.c.definition).where(_study.c.workspace == _place).order_by(_study.c.name)
_one_study = _studies.where(_study.c.name == _which)
_add_trial = insert_absent(_trial)
_of_study = _trial.c.workspace == _place, _trial.c.study == _which
_trials = select(_trial.c.number, _trial.c.params, _trial.c.run).where(*_of_study).order_by(_trial.c.number)
_count = select(func.count()).select_from(_trial).where(*_of_study)


def put_study(tx: Tx, workspace: str, made: Study) -> None:
    tx.change(_put_study, workspace=workspace, name=made.name, definition=msgspec.json.encode(made).decode())


def study(tx: Tx, workspace: str, name: str) -> Study | None:
    row = tx.one(_one_study, place=workspace, which=name)
    return msgspec.json.decode(row[0], type=Study) if row else None


def studies(tx: Tx, workspace: str) -> list[Study]:
    return [msgspec.json.decode(row[0], type=Study) for row in tx.run(_studies, place=workspace)]


def add_trial(tx: Tx, workspace: str, made: Trial) -> bool:
    params = msgspec.json.encode(made.params).decode()
    return tx.change(
        _add_trial, workspace=workspace, study=made.study, number=made.number, params=params, run=made.run
    ) == 1  # fmt: skip


def trials(tx: Tx, workspace: str, study: str) -> list[Trial]:
    """A study's trials in order, without what their runs say."""
    rows = tx.run(_trials, place=workspace, which=study)
    return [Trial(study, row[0], msgspec.json.decode(row[1]), row[2]) for row in rows]


def trial_count(tx: Tx, workspace: str, study: str) -> int:
    row = tx.one(_count, place=workspace, which=study)
    return int(row[0]) if row else 0
