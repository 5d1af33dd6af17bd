"""What the labels of an external set mean: what they mean in the study, unless it says nothing."""

import dataclasses
from collections.abc import Collection

from masll.common.errors import InputError
from masll.data.options import SourceOptions, source_options
from masll.data.rules import Rules
from tuning.study.spec import Spec


def as_in_study(spec: Spec, asked: SourceOptions, given: Collection[str]) -> Rules:
    """How labels are understood: with the positive classes and the label texts of a study.

    A network tells the classes that it was trained to tell, whatever else a set has labels for. A
    set may lack the study's classes and texts; those that were asked for it must be there.

    Args:
        spec: of the study; one that says nothing of its classes changes nothing.
        asked: for the set.
        given: which options of `asked` somebody gave; others have their defaults.

    Raises:
        InputError: they contradict the study's; or the study's cannot be understood.
    """
    own, rules = source_options(spec.options), asked.rules
    labelling = rules.labelling
    if "positive" in spec.options:
        if "positive" in given and _folded(asked.positive) != _folded(own.positive):
            raise InputError(
                f"--positive {' '.join(asked.positive)}: the study's models tell "
                f"{' '.join(own.positive)} from all others; leave it out, and say with --labels "
                "TEXT=CLASS what the set's own texts mean"
            )
        labelling = dataclasses.replace(labelling, positive=tuple(own.positive), inherited=True)
    meant, means = own.rules.labelling.meanings, labelling.meanings
    for text in (text for text in means if meant.get(text, means[text]) != means[text]):
        raise InputError(
            f"--labels {text}={means[text]}: in the study {text} means {meant[text]}; leave it "
            "out, or give the set another text"
        )
    return rules._replace(labelling=dataclasses.replace(labelling, elsewhere=meant))


def _folded(classes: Collection[str]) -> set[str]:
    return {name.casefold() for name in classes}
