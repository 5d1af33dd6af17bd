"""Exports: what other programs read is what the rows say, once, with the trials' own times."""

import contextlib
import dataclasses
import datetime
import json
import math
import shutil
import sqlite3
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from ablations.export import to_isic, to_mlflow
from ablations.export.__main__ import main
from ablations.export.runs import TrialRun, trial_runs
from ablations.rows import Study, read_study
from ablations.tables import ablation_table
from masll.common.errors import InputError
from masll.common.storage import AnyPath, any_path
from tuning.study.folder import StudyFolder
from tuning.study.spec import Spec

if TYPE_CHECKING:
    from conftest import StudyBuilder

GATED = ("gated-fusion", "resnet18")
BEGUN = datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC).timestamp()
ENDED = BEGUN + 86_400
SPACE = [{"name": "weight_decay", "type": "float", "low": 1e-5, "high": 1e-2, "log": True}]


@pytest.fixture
def study(build: "StudyBuilder") -> Path:
    """One arm: three search trials, of which one was pruned and one failed, and two models."""
    return build.whole(arms=(GATED,)).path


def runs_of(study: Path) -> dict[str, TrialRun]:
    read = read_study(study, search_predictions=False)
    return {run.trial_id: run for run in trial_runs(read, study.name)}


def exported(study: Path, target: str, folder: AnyPath | Path) -> None:
    assert main([str(study), "--to", target, str(folder)]) == 0


def set_aside(study: Path, trial_id: str) -> None:
    """Take a trial's rows out of a study."""
    for kind in ("trials", "epochs", "predictions"):
        (study / kind / f"{trial_id}.parquet").unlink(missing_ok=True)


def test_a_run_has_all_that_the_rows_of_a_trial_say_and_nothing_that_they_do_not(study):
    runs = runs_of(study)
    assert len(runs) == 5
    confirmed = runs["gated-fusion-resnet18-confirm-1"]
    assert confirmed.params == {
        "arm": "gated-fusion/resnet18",
        "variant": "gated-fusion",
        "backbone": "resnet18",
        "stage": "confirm",
        "seed": 1,
        "lr": 0.003,
        "threshold_scale": 1.25,
    }
    row = pd.read_parquet(study / "trials" / "gated-fusion-resnet18-confirm-1.parquet").iloc[0]
    assert confirmed.figures["test_auc"] == row["test_auc"]
    assert confirmed.figures["best_val_auc"] == 0.7 and confirmed.figures["trial_seconds"] == 60
    assert "test_acc" not in confirmed.figures  # which is null
    assert confirmed.curves["train_loss"] == {1: 0.6, 2: 0.5}
    assert (confirmed.begun, confirmed.ended) == (BEGUN, ENDED)
    assert confirmed.times == {1: BEGUN + 1, 2: BEGUN + 2}
    failed = runs["gated-fusion-resnet18-search-2"]
    assert failed.tags["error"] == "out of memory" and "test_auc" not in failed.figures


def test_what_an_arm_or_the_study_fixes_is_a_parameter_of_its_runs(build):
    fixed = {"box": "centre", "lr": 0.003}
    build.spec(
        [("centre", "resnet18")],
        options={"set": ["weight_decay=0.01"]},
        declared={"centre": {"variant": "gated-fusion", "fixed": fixed}},
    )
    name = build.search(GATED, status="pruned")
    of_arm = {"arm": "centre/resnet18", "fixed": json.dumps(fixed)}
    build.change("trials", name, lambda rows: rows.assign(**of_arm))
    params = runs_of(build.path)[name].params
    assert (params["arm"], params["variant"]) == ("centre/resnet18", "gated-fusion")
    assert (params["box"], params["lr"], params["weight_decay"]) == ("centre", 0.003, "0.01")


def test_what_others_search_and_an_arm_or_the_study_fixes_is_a_parameter_too(build):
    fixed = {"box": "centre", "weight_decay": 0.01}
    build.spec(
        [("centre", "resnet18"), GATED],
        options={"set": ["lr=0.02"], "space": SPACE},
        declared={"centre": {"variant": "gated-fusion", "fixed": fixed}},
    )
    name, other = build.search(GATED, status="pruned"), build.search(GATED, 1, status="pruned")
    of_arm = {"arm": "centre/resnet18", "fixed": json.dumps(fixed), "lr": math.nan}
    build.change("trials", name, lambda rows: rows.assign(**of_arm, weight_decay=math.nan))
    build.change("trials", other, lambda rows: rows.assign(lr=math.nan, weight_decay=0.001))
    params = {name: run.params for name, run in runs_of(build.path).items()}
    assert (params[name]["lr"], params[name]["weight_decay"]) == ("0.02", 0.01)
    assert (params[other]["lr"], params[other]["weight_decay"]) == ("0.02", 0.001)


def test_a_run_says_which_confirmation_its_trial_is_of(study):
    read = read_study(study, search_predictions=False)
    again = [dataclasses.replace(row, confirmation=2) for row in read.rows]
    for run in trial_runs(dataclasses.replace(read, rows=again), "study"):
        assert run.params["confirmation"] == 2


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """mlflow.db of a study without a trial: MLflow makes its tables in some ten seconds."""
    nothing = pd.DataFrame({"trial_id": []})
    study = Study(StudyFolder(any_path("nothing")), nothing, nothing, nothing, Spec())
    folder = tmp_path_factory.mktemp("mlflow") / "new"
    to_mlflow.export(study, "nothing", any_path(folder), lambda *_: None)
    return folder / to_mlflow.FILE


@pytest.fixture
def mlflow_file(tables: Path, tmp_path: Path) -> Path:
    """A copy of it in the folder `out`."""
    (tmp_path / "out").mkdir()
    return Path(shutil.copy(tables, tmp_path / "out"))


def test_mlflow_reads_the_rows_and_a_second_export_doubles_nothing(
    study, build, tmp_path, capsys, mlflow_file
):
    exported(study, "mlflow", tmp_path / "out")
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{mlflow_file}")
    experiment = client.get_experiment_by_name("study")

    def there() -> dict[str, Any]:
        found = client.search_runs([experiment.experiment_id])
        assert len(found) == len({run.info.run_name for run in found}) == 5
        return {run.info.run_name: run for run in found}

    first = there()
    for name, run in runs_of(study).items():
        in_store = first[name]
        assert in_store.data.params == {key: str(value) for key, value in run.params.items()}
        assert {key: in_store.data.metrics[key] for key in run.figures} == run.figures
        assert in_store.info.start_time == 1000 * BEGUN and in_store.info.end_time == 1000 * ENDED
        for key, curve in run.curves.items():
            history = client.get_metric_history(in_store.info.run_id, key)
            assert {point.step: point.value for point in history} == curve
            assert [point.timestamp for point in history] == [
                1000 * run.times[step] for step in curve
            ]
        tags = {key: in_store.data.tags[key] for key in ("trial_id", "study", "status")}
        assert tags == {"trial_id": name, "study": "study", "status": run.status}
    ends = {name: run.info.status for name, run in first.items()}
    assert ends["gated-fusion-resnet18-search-1"] == "KILLED"  # pruned
    assert ends["gated-fusion-resnet18-search-2"] == "FAILED"

    build.search(GATED, 2)  # the failed one again
    capsys.readouterr()
    exported(study, "mlflow", tmp_path / "out")
    assert "wrote 1 of 5 trials" in capsys.readouterr().out
    changed = {name for name, run in there().items() if run.info.run_id != first[name].info.run_id}
    assert changed == {"gated-fusion-resnet18-search-2"}


def test_mlflow_has_no_run_of_a_trial_that_was_set_aside(study, tmp_path, capsys, mlflow_file):
    from mlflow.tracking import MlflowClient

    exported(study, "mlflow", tmp_path / "out")
    client = MlflowClient(f"sqlite:///{mlflow_file}")
    experiment = client.get_experiment_by_name("study").experiment_id
    client.create_run(experiment, run_name="somebody's own", tags={"trial_id": "mine"})
    set_aside(study, "gated-fusion-resnet18-search-2")
    capsys.readouterr()
    exported(study, "mlflow", tmp_path / "out")
    assert "wrote 0 of 4 trials" in (said := " ".join(capsys.readouterr().out.split()))
    assert said.count("removed 1, which the study has no more") == 1
    names = {run.info.run_name for run in client.search_runs([experiment])}
    assert names == runs_of(study).keys() | {"somebody's own"}


def test_an_experiment_deleted_in_mlflow_comes_back_with_one_run_of_each_trial(
    study, build, tmp_path, capsys, mlflow_file
):
    from mlflow.tracking import MlflowClient

    exported(study, "mlflow", tmp_path / "out")
    build.search(GATED, 2)  # the failed one again
    exported(study, "mlflow", tmp_path / "out")
    client = MlflowClient(f"sqlite:///{mlflow_file}")
    experiment = client.get_experiment_by_name("study").experiment_id
    client.delete_experiment(experiment)
    capsys.readouterr()
    exported(study, "mlflow", tmp_path / "out")
    assert "wrote 0 of 5 trials" in capsys.readouterr().out
    digests = sorted(run.data.tags["digest"] for run in client.search_runs([experiment]))
    assert digests == sorted(run.digest for run in runs_of(study).values())


def test_a_file_that_mlflow_cannot_write_is_one_line(
    study, tmp_path, monkeypatch, capsys, mlflow_file
):
    monkeypatch.setattr(to_mlflow, "_PATIENCE", 0.1)
    with contextlib.closing(sqlite3.connect(mlflow_file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(InputError, match=r"mlflow\.db: database is locked; close what else"):
            exported(study, "mlflow", tmp_path / "out")
        other.execute("ROLLBACK")
        # The same kind of error as a lock that comes later, for which MLflow waits 20 seconds.
        other.execute("CREATE TRIGGER t BEFORE INSERT ON runs BEGIN DELETE FROM missing; END")
    with pytest.raises(InputError, match=r"^MLflow cannot write .*: no such table: .*missing; "):
        exported(study, "mlflow", tmp_path / "out")
    assert "Traceback" not in capsys.readouterr().err


def test_tensorboard_reads_the_rows_with_hyperparameters_and_times(study, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import metadata

    exported(study, "tensorboard", tmp_path / "out")
    files = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*tfevents*")}
    assert len(files) == 5
    for name, run in runs_of(study).items():
        events = EventAccumulator(str(tmp_path / "out" / "study" / name)).Reload()
        assert set(events.Tags()["scalars"]) == run.curves.keys() | run.figures.keys()
        for key, curve in run.curves.items():
            points = events.Scalars(key)
            assert {point.step: point.value for point in points} == pytest.approx(curve)
            assert [point.wall_time for point in points] == [run.times[step] for step in curve]
        for key, value in run.figures.items():
            (point,) = events.Scalars(key)
            assert point.value == pytest.approx(value) and point.wall_time == ENDED
        kept = events.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
        params = metadata.parse_session_start_info_plugin_data(kept).hparams
        assert (
            params["lr"].number_value == 0.003 and params["arm"].string_value == run.params["arm"]
        )
    exported(study, "tensorboard", tmp_path / "out")
    assert files == {path: path.read_bytes() for path in (tmp_path / "out").rglob("*tfevents*")}

    set_aside(study, "gated-fusion-resnet18-search-2")
    exported(study, "tensorboard", tmp_path / "out")
    there = {path.parent.name for path in (tmp_path / "out").rglob("*tfevents*")}
    assert there == runs_of(study).keys()


def wandb_records(file: Path) -> list[Any]:
    """The records of an offline run: LevelDB's log format behind seven bytes of W&B's own.

    Blocks of 32 KiB, of pieces with a checksum, a length and whether they begin or end a record.
    """
    from wandb.proto.wandb_internal_pb2 import Record

    content, records, whole = file.read_bytes(), [], b""
    assert content[:4] == b":W&B"
    place = 7
    while place < len(content):
        if 2**15 - place % 2**15 < 7:
            place += 2**15 - place % 2**15
            continue
        _, length, kind = struct.unpack_from("<IHB", content, place)
        whole += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or its last piece
            records.append(Record.FromString(whole))
            whole = b""
    return records


def test_wandb_has_an_offline_run_per_trial_and_a_second_export_keeps_it(study, build, tmp_path):
    exported(study, "wandb-offline", tmp_path / "out")
    place = tmp_path / "out" / "study" / "wandb"
    files = {path: path.read_bytes() for path in place.glob("offline-run-*/*.wandb")}
    assert len(files) == 5
    for name, run in runs_of(study).items():
        (file,) = (path for path in files if path.name == f"run-{name}.wandb")
        records = wandb_records(file)
        (of_run,) = (record.run for record in records if record.HasField("run"))
        assert (of_run.project, of_run.run_group) == ("study", run.params["arm"])
        config = {item.key: json.loads(item.value_json) for item in of_run.config.update}
        assert config | run.params == config and config["started_at"].startswith("2025-01-01")
        history = [
            {item.key or item.nested_key[0]: json.loads(item.value_json) for item in each}
            for each in (record.history.item for record in records if record.HasField("history"))
        ]
        for key, curve in run.curves.items():
            assert {row["epoch"]: row[key] for row in history} == curve
        assert [row["_timestamp"] for row in history] == list(run.times.values())
        summary = {
            item.key or item.nested_key[0]: json.loads(item.value_json)
            for record in records
            if record.HasField("summary")
            for item in record.summary.update
        }
        assert summary | run.figures == summary
    build.search(GATED, 2)  # the failed one again
    exported(study, "wandb-offline", tmp_path / "out")
    again = {path: path.read_bytes() for path in place.glob("offline-run-*/*.wandb")}
    assert len(again) == 5 and len(again.items() & files.items()) == 4

    own = place / "offline-run-20260101_000000-mine"
    own.mkdir()
    set_aside(study, "gated-fusion-resnet18-search-2")
    exported(study, "wandb-offline", tmp_path / "out")
    of_trials = {file.stem.removeprefix("run-") for file in place.glob("offline-run-*/*.wandb")}
    assert of_trials == runs_of(study).keys() and own.exists()


def test_a_submission_holds_the_scores_of_a_model_to_the_last_digit(study, tmp_path):
    exported(study, "isic", tmp_path / "out")
    read = read_study(study)
    place = tmp_path / "out" / "study"
    truth = pd.read_csv(place / to_isic.TRUTH, index_col="image")["melanoma"]
    assert len(read.confirmed) == 2
    for row in read.confirmed.itertuples():
        model = pd.read_csv(place / f"{row.trial_id}.csv", index_col="image")
        assert list(model) == ["melanoma"]
        mine = read.test_predictions.query("trial_id == @row.trial_id").set_index("image_id")
        assert model["melanoma"].to_dict() == mine["score"].to_dict()
        assert roc_auc_score(truth[model.index], model["melanoma"]) == pytest.approx(row.test_auc)


# Of its balanced accuracy, which says nothing of one class.
@pytest.mark.filterwarnings("ignore:A single label was found")
def test_the_official_scorer_gives_the_auc_of_the_report(study, tmp_path, monkeypatch):
    classification = pytest.importorskip(
        "isic_challenge_scoring.classification", reason="needs the extra 'parity'"
    )
    # The scorer, of 2023, calls what pandas 3 has under another name.
    monkeypatch.setattr(pd.DataFrame, "applymap", pd.DataFrame.map, raising=False)
    exported(study, "isic", tmp_path / "out")
    place = tmp_path / "out" / "study"
    metric = classification.ClassificationMetric.AUC
    models = sorted(path for path in place.glob("*.csv") if path.name != to_isic.TRUTH)
    scores = [
        classification.ClassificationScore.from_file(place / to_isic.TRUTH, model, metric).overall
        for model in models
    ]
    table = ablation_table(read_study(study)).iloc[0]
    assert len(scores) == table["seeds"] == 2
    assert sum(scores) / 2 == pytest.approx(table["auc_mean"], abs=1e-12)


def test_the_truth_has_the_images_of_every_model(study, tmp_path):
    read = read_study(study)
    of_first = read.predictions["trial_id"] == read.confirmed["trial_id"].min()
    without = read.predictions[~(of_first & (read.predictions["image_id"] == "test-0000"))]
    place = exported_to_isic(dataclasses.replace(read, predictions=without), tmp_path / "out")
    truth = pd.read_csv(place / to_isic.TRUTH)
    assert list(truth["image"]) == [f"test-{number:04d}" for number in range(40)]


def test_the_file_of_a_model_that_is_confirmed_no_longer_goes(study, tmp_path):
    read = read_study(study)
    place = exported_to_isic(read, tmp_path / "out")
    (place / "mine.csv").touch()
    (place / "gated-fusion.resnet18.confirm.0007.csv").touch()  # of a trial that was set aside
    kept, gone = (f"{trial_id}.csv" for trial_id in sorted(read.confirmed["trial_id"]))
    of_gone = read.trials["trial_id"] == Path(gone).stem
    trials = read.trials.assign(status=read.trials["status"].mask(of_gone, "failed"))
    exported_to_isic(dataclasses.replace(read, trials=trials), tmp_path / "out")
    assert {path.name for path in place.iterdir()} == {kept, to_isic.TRUTH, "mine.csv"}


def exported_to_isic(study: Study, folder: Path) -> Path:
    """Where the files of a study in memory lie."""
    to_isic.export(study, "study", any_path(folder), lambda *_: None)
    return folder / "study"


def test_a_folder_may_hold_several_studies_and_no_two_of_one_name(study, build, tmp_path):
    exported(study, "tensorboard", tmp_path / "out")
    build.spec((GATED,), created_at="2026-01-01T00:00:00+00:00")  # another one
    with pytest.raises(InputError, match="has another study 'study', begun at an unknown time"):
        exported(study, "tensorboard", tmp_path / "out")
    (tmp_path / "out" / "studies.json").write_text("[")
    with pytest.raises(InputError, match=r"studies\.json is damaged"):
        exported(study, "tensorboard", tmp_path / "out")


def test_two_studies_of_one_name_that_say_nothing_of_themselves_do_not_mix(build, tmp_path):
    for parent in ("one", "other"):
        build.path = tmp_path / parent / "study"
        build.search(GATED)
    exported(tmp_path / "one" / "study", "tensorboard", tmp_path / "out")
    exported(tmp_path / "one" / "study", "tensorboard", tmp_path / "out")
    with pytest.raises(InputError, match=r"has another study 'study', .*one/study; name another"):
        exported(tmp_path / "other" / "study", "tensorboard", tmp_path / "out")


@pytest.mark.slow  # a server of S3
@pytest.mark.parametrize(("target", "counts"), [("isic", (4, 4)), ("tensorboard", (6, 5))])
def test_an_export_on_s3_is_that_on_this_machine(s3, study, tmp_path, target, counts):
    s3.make_bucket(f"exports-{target}")
    here, place = tmp_path / "out", any_path(f"s3://exports-{target}/lab")
    for count in counts:
        for folder in (here, place):
            exported(study, target, folder)
        files = {path.relative_to(here).as_posix(): path for path in here.rglob("*.*")}
        of_files = {name: path.read_bytes() for name, path in files.items() if path.is_file()}
        assert of_files == {each.name: (place / each.name).read_bytes() for each in place.listed()}
        assert len(of_files) == count
        set_aside(study, "gated-fusion-resnet18-search-2")
    with pytest.raises(InputError, match="there is no such bucket"):
        exported(study, target, any_path("s3://exports-nowhere/lab"))


def test_an_export_never_lies_in_the_study_itself(study):
    before = sorted(study.parent.rglob("*"))
    for folder in (study.parent, study, study / "exported"):
        with pytest.raises(InputError, match="would mix the export with the study"):
            exported(study, "isic", folder)
    assert sorted(study.parent.rglob("*")) == before


def test_names_that_cannot_be_read_are_not_called_damaged(study, tmp_path):
    (tmp_path / "out" / "studies.json").mkdir(parents=True)
    with pytest.raises(InputError, match=r"^cannot read .*studies\.json: Is a directory; name"):
        exported(study, "isic", tmp_path / "out")


@pytest.mark.parametrize(
    ("target", "in_the_way", "line"),
    [
        ("wandb-offline", "out/study", "is below a file, .*out/study; name a folder"),
        ("wandb-offline", "out/study/wandb", "out/study/wandb is a file; name a folder"),
        ("mlflow", "out/mlflow.db/x", r"mlflow\.db: unable to open database file; "),
    ],
)
def test_what_lies_in_the_way_is_one_line(study, tmp_path, target, in_the_way, line):
    path = tmp_path / in_the_way
    path.parent.mkdir(parents=True)
    path.touch()
    with pytest.raises(InputError, match=line):
        exported(study, target, tmp_path / "out")


def test_mlflow_takes_no_question_mark_in_its_address(study, tmp_path):
    with pytest.raises(InputError, match=r"--to mlflow takes no DIR with '\?', got "):
        exported(study, "mlflow", tmp_path / "out?" / "below")
    assert not (tmp_path / "out?").exists()


def test_what_cannot_be_exported_is_one_line(study, build, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="writes to this machine only"):
        main([str(study), "--to", "mlflow", "s3://bucket/x"])
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "mlflow.db").write_text("no database, for all that its name says")
    with pytest.raises(InputError, match=r"mlflow\.db: file is not a database; .*another DIR"):
        main([str(study), "--to", "mlflow", str(tmp_path / "damaged")])
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"^wandb not installed; pip install 'masll-lab\[wandb\]'"):
        main([str(study), "--to", "wandb-offline", str(tmp_path / "out")])
    build.path = tmp_path / "begun"
    build.spec((GATED,))
    with pytest.raises(InputError, match="no finished trial"):
        main([str(build.path), "--to", "isic", str(tmp_path / "out")])
    build.search(GATED)
    with pytest.raises(InputError, match="no confirmed model yet"):
        main([str(build.path), "--to", "isic", str(tmp_path / "out")])
