"""Which models are evaluated on an external set, and their rows."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch

from ablations.external.digests import damaged, digests_in, model_digest, with_digest
from ablations.external.seeds import check_seeds
from ablations.rows import Study
from masll.common.errors import InputError
from masll.common.storage import AnyPath, any_path
from masll.data.split import Split
from masll.data.types import UNKNOWN
from masll.devices import lay_out
from masll.evaluation import evaluate
from masll.loading import Loader
from masll.model import Masll, load_model
from masll.parts import load_part
from masll.results import Predictions
from masll.variants import describe
from tuning.study.arm import Arm, Declaration
from tuning.study.damage import DamagedTrial
from tuning.study.folder import StudyFolder
from tuning.study.reader import read_rows, row_files
from tuning.study.rows import PredictionRow, TrialRow, columns_of, prediction_table
from tuning.study.spec import Spec
from tuning.study.trial import Stage, Status, Trial


@dataclass(frozen=True)
class ConfirmedModel:
    """A model with its name among the rows."""

    row: TrialRow
    folder: AnyPath

    @property
    def file(self) -> str:
        """Name of its file of rows."""
        return f"{self.row.trial_id}.parquet"

    @cached_property
    def digest(self) -> str:
        """Which model it is, whatever its name: see `model_digest`."""
        return model_digest(self.folder)


def models_of(study: Study) -> list[ConfirmedModel]:
    """The models of a study's confirmed trials, arm by arm.

    Raises:
        InputError: it has none.
    """
    if study.confirmed.empty:
        raise InputError(f"{study.path} has no confirmed model yet; wait, or let it go on")
    order = {arm: place for place, arm in enumerate(study.arms)}
    trials = study.confirmed.sort_values("seed").sort_values(
        "arm", key=lambda arms: arms.map(order), kind="stable"
    )
    return [
        ConfirmedModel(
            _row(trial.trial_id, study.described[trial.arm], int(trial.seed)),
            study.folder.model(trial.arm, int(trial.seed), int(trial.confirmation)),
        )
        for trial in trials.itertuples()
    ]


def models_in(folders: Sequence[str]) -> list[ConfirmedModel]:
    """Models by their folders, without a study: those of one variant and backbone are one arm.

    Their seeds are counted from 1, in the order of the folders.

    Raises:
        InputError: a folder is named twice, or holds no model; or models of one arm are not of one
            configuration, so that they are no seeds of each other.
    """
    if len({any_path(folder).resolve() for folder in folders}) < len(folders):
        raise InputError(f"--model names a folder twice in {' '.join(folders)}; name each once")
    counts: dict[Arm, int] = {}
    first: dict[Arm, tuple[AnyPath, Mapping[str, Any]]] = {}
    models = []
    for folder in map(any_path, folders):
        config = _saved(folder)
        try:
            box = config.get("box", "sll")
            declared = None if box == "sll" else Declaration(box, {"box": box})
            arm = Arm(config["variant"], config["backbone"], declared)
            number = counts[arm] = counts.get(arm, 0) + 1
        except (KeyError, TypeError) as error:
            raise _no_model(folder) from error
        check_seeds(*first.setdefault(arm, (folder, config)), folder, config)
        trial_id = Trial(arm, Stage.CONFIRM, number - 1, number, {}).trial_id
        models.append(ConfirmedModel(_row(trial_id, arm, number), folder))
    return models


def study_of(models: Sequence[ConfirmedModel], folder: AnyPath) -> Study:
    """Models without a study, as the tables take them: confirmed trials, and no other rows."""
    trials = pd.DataFrame([model.row.as_record() for model in models]).assign(
        confirmation=1.0, gpus=0.0
    )
    predictions = pd.DataFrame(columns=list(columns_of(PredictionRow)))
    return Study(StudyFolder(folder), trials, pd.DataFrame(), predictions, Spec())


def missing(models: Sequence[ConfirmedModel], folder: AnyPath) -> list[ConfirmedModel]:
    """The models that have no rows in a folder yet, or another model's of the same name.

    Rows that do not say whose they are, as those of earlier versions, count as another's.

    Raises:
        InputError: a file of rows or a model cannot be read.
    """
    files = row_files(folder)
    of_models = digests_in(folder, files, [each.file for each in models if each.file in files])
    return [model for model in models if of_models.get(model.file) != model.digest]


class Evaluator:
    """Runs models over images on one device, one after the other.

    Args:
        parts: what `--variant-from` names.
    """

    def __init__(self, parts: Sequence[str], device: torch.device) -> None:
        self._parts = [load_part(named) for named in parts]
        self._device = device
        self._network: Masll | None = None  # the last model's, whose place the next may take

    def evaluate(self, model: ConfirmedModel, images: Split, folder: AnyPath) -> None:
        """Write a model's rows of images of its network's own size and fit."""
        network = load_model(model.folder, self._parts, self._network)
        # As when its own test images were predicted: to the last bit.
        self._network = network = lay_out(network, self._device)
        loader = Loader(network.inputs, self._device, network.config.box)
        variant = describe(network.config.variant)
        predictions = evaluate(network, variant, loader, images).predictions
        write_rows(folder / model.file, model, predictions)


def write_rows(path: AnyPath, model: ConfirmedModel, predictions: Predictions) -> None:
    """A model's rows as a study has them, with its digest; an unlabelled image's label is null."""
    table = with_digest(prediction_table(model.row, predictions), model.digest)
    unlabelled = predictions.labels == UNKNOWN  # (N,)
    if unlabelled.any():
        labels = pa.array(predictions.labels, pa.int64(), mask=unlabelled)
        table = table.set_column(table.column_names.index("label"), "label", labels)
    content = pa.BufferOutputStream()
    pq.write_table(table, content)
    path.write_whole(content.getvalue().to_pybytes(), many_writers=True)


def evaluated(
    study: Study,
    models: Sequence[ConfirmedModel],
    folder: AnyPath,
    image_ids: Collection[str],
    judged: Collection[str],
    groups: Mapping[str, str],
) -> Study:
    """A study with an external set in place of its test images.

    All tables of a study can be made of it: thresholds come from the study's own validation
    images, and are carried over.

    Args:
        models: those that have rows.
        folder: of the rows.
        image_ids: of the images that each model has rows of.
        judged: of those that have a label: the others' rows are left out.
        groups: lesion or patient of each image that names one.

    Raises:
        InputError: a file of rows cannot be read, is another model's, or of other images.
    """
    own, expected = study.predictions, pa.array(sorted(image_ids), pa.string())
    labelled = pc.field("image_id").isin(list(judged))

    def check(name: str, rows: pa.Table) -> None:
        del name
        if rows["image_id"].cast(pa.string()).combine_chunks().sort() != expected:
            raise ValueError("other images than images.parquet has")
        if rows.filter(labelled)["label"].null_count:
            raise ValueError("column 'label' is null where images.parquet has a label")

    files = row_files(folder)
    of_models = {each.file: files[each.file] for each in models}
    try:
        rows = read_rows(folder, of_models, PredictionRow, check=check, unknown=("label",))
    except DamagedTrial as error:
        raise damaged(folder / f"{error.trial_id}.parquet", error.reason) from error
    kept = own[own["trial_id"].isin(study.confirmed["trial_id"]) & (own["split"] == "validation")]
    external = rows.filter(labelled).to_pandas()
    both = external if kept.empty else pd.concat([kept, external], ignore_index=True)
    return replace(study, predictions=both, groups=groups)


class Inputs(NamedTuple):
    """The images that a model takes."""

    source_size: int  # side in pixels
    fit: str
    by_mask: bool  # whether its local branch looks where a lesion mask says


def inputs_of(model: ConfirmedModel) -> Inputs:
    """What a model's folder says of its images, without reading its weights.

    Raises:
        InputError: its folder is gone, or says nothing of them.
    """
    config = _saved(model.folder)
    try:
        by_mask = config.get("box") == "mask"
        return Inputs(int(config["source_size"]), str(config.get("fit", "squash")), by_mask)
    except (KeyError, TypeError, ValueError) as error:
        raise _no_model(model.folder) from error


def _saved(folder: AnyPath) -> dict[str, Any]:
    """What config.json says of a model, as it stands there; `load_model` checks it."""
    try:
        config = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError) as error:
        raise _no_model(folder) from error
    if not isinstance(config, dict):
        raise _no_model(folder)
    return config


def _no_model(folder: AnyPath) -> InputError:
    return InputError(f"{folder} holds no readable model: config.json; restore it, or name another")


def _row(trial_id: str, arm: Arm, seed: int) -> TrialRow:
    return TrialRow(
        trial_id=trial_id,
        arm=str(arm),
        variant=arm.variant,
        backbone=arm.backbone,
        fixed=None if arm.declared is None else json.dumps(dict(arm.fixed)),
        stage=Stage.CONFIRM,
        status=Status.COMPLETED,
        seed=seed,
    )
