"""What runs in a process of its own: asking the sampler for the next configuration.

The sampler keeps nothing between two calls: it is asked with all trials so far, seeded by the study and the trial's
number, so the same history gets the same answer wherever and whenever it is asked.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from millrace.tuning.records import Choice, Ints, Study, Trial


class ToAsk(Struct, frozen=True):
    study: Study
    trials: list[Trial]


class Asked(Struct, frozen=True):
    params: dict[str, Any]


def ask(ask: ToAsk) -> Asked:
    """The next configuration of a study."""
    import optuna
    from optuna.distributions import (
        BaseDistribution,
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )
    from optuna.samplers import BaseSampler, RandomSampler, TPESampler
    from optuna.trial import TrialState, create_trial

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = ask.study
    space: dict[str, BaseDistribution] = {}
    for name, within in study.space.items():
        if isinstance(within, Choice):
            space[name] = CategoricalDistribution(within.options)
        elif isinstance(within, Ints):
            space[name] = IntDistribution(within.low, within.high, log=within.log)
        else:
            space[name] = FloatDistribution(within.low, within.high, log=within.log)
    seed = (study.seed * 1_000_003 + len(ask.trials)) % (1 << 32)
    sampler: BaseSampler = (
        RandomSampler(seed) if study.sampler == "random" else TPESampler(seed=seed, constant_liar=True)
    )
    held = optuna.create_study(sampler=sampler, direction="maximize" if study.maximize else "minimize")
    states = {"finished": TrialState.COMPLETE, "failed": TrialState.FAIL, "cancelled": TrialState.FAIL}
    for trial in ask.trials:
        state = states.get(trial.state, TrialState.RUNNING)
        if state == TrialState.COMPLETE and trial.value is None:
            state = TrialState.FAIL
        value = trial.value if state == TrialState.COMPLETE else None
        held.add_trial(create_trial(params=trial.params, distributions=space, value=value, state=state))
    return Asked(dict(held.ask(space).params))
