"""Damages to a study's folder, and the three commands that read it, each in a fork.

`DAMAGES` holds those that every command refuses, in one line that names the file; `HARMLESS` those
that change nothing; `OF_THE_SEARCH` those that only whoever trains needs to know of.
"""

import contextlib
import json
import os
import pickle
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

Damage = Callable[[Path], object]
LIMIT = 120.0  # seconds for a command; it takes half of one on a machine that is not busy
BEGUN = "baseline.test_resnet.search.0001"
_NOT_BEGUN = {
    "arm": ["baseline", "test_resnet"],
    "stage": "search",
    "number": 1,
    "seed": 0,
    "params": {"lr": 0.01},
    "confirmation": 1,
    "crashes": 0,
    "preemptions": 0,
    "epochs": 1,
    "where": "",
    "started_at": "2026-11-25T00:00:00+00:00",
}
_LR = {"name": "lr", "type": "float", "low": 1e-4, "high": 0.1, "log": True, "default": 0.005}


class Case(NamedTuple):
    """A damage, and the file that the error names, by its end."""

    damage: Damage
    names: str


def first(study: Path, kind: str, stage: str = "search") -> Path:
    return sorted((study / kind).glob(f"*{stage}*.parquet"))[0]


def cut(kind: str, size: int, stage: str = "search") -> Damage:
    def damage(study: Path) -> None:
        path = first(study, kind, stage)
        path.write_bytes(path.read_bytes()[:size])

    return damage


def flip(kind: str, place: int) -> Damage:
    def damage(study: Path) -> None:
        path = first(study, kind)
        content = bytearray(path.read_bytes())
        content[place] ^= 255
        path.write_bytes(content)

    return damage


def rows(kind: str, of: str = "search", /, **columns: Any) -> Damage:
    return edit(kind, lambda table: table.assign(**columns), of)


def edit(
    kind: str, change: Callable[[pd.DataFrame], pd.DataFrame], stage: str = "search"
) -> Damage:
    def damage(study: Path) -> None:
        path = first(study, kind, stage)
        change(pd.read_parquet(path)).to_parquet(path, index=False)

    return damage


def put(name: str, content: bytes | str) -> Damage:
    def damage(study: Path) -> None:
        path = study / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    return damage


def copy(kind: str, name: str) -> Damage:
    return lambda study: shutil.copy(first(study, kind), study / kind / name)


def pipe(name: str) -> Damage:
    def damage(study: Path) -> None:
        (study / name).unlink(missing_ok=True)
        os.mkfifo(study / name)

    return damage


def folder(name: str) -> Damage:
    def damage(study: Path) -> None:
        (study / name).unlink(missing_ok=True)
        (study / name).mkdir()

    return damage


def file(name: str) -> Damage:
    def damage(study: Path) -> None:
        shutil.rmtree(study / name)
        (study / name).write_text("x")

    return damage


def gone(name: str) -> Damage:
    return lambda study: (
        shutil.rmtree(study / name) if (study / name).is_dir() else (study / name).unlink()
    )


def link(name: str, to: str) -> Damage:
    def damage(study: Path) -> None:
        (study / name).unlink(missing_ok=True)
        (study / name).symlink_to(to)

    return damage


def spec(change: Callable[[dict[str, Any]], object]) -> Damage:
    def damage(study: Path) -> None:
        path = study / "spec.json"
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return damage


def top(**values: Any) -> Damage:
    return spec(lambda content: content.update(values))


def option(**values: Any) -> Damage:
    return spec(lambda content: content["options"].update(values))


def record(**values: Any) -> Damage:
    return spec(lambda content: content["data"].update(values))


def arms_named(new: str) -> Damage:
    def damage(study: Path) -> None:
        for kind in ("trials", "predictions"):
            for path in (study / kind).glob("gated*.parquet"):
                pd.read_parquet(path).assign(arm=new).to_parquet(path, index=False)
        spec(
            lambda content: content.update(
                arms=[new if arm.startswith("gated") else arm for arm in content["arms"]]
            )
        )(study)

    return damage


def begun(name: str = BEGUN, **changed: Any) -> Damage:
    """A trial that has begun, in the place of one that ended."""

    def damage(study: Path) -> None:
        for kind in ("trials", "epochs", "predictions"):
            (study / kind / f"{name}.parquet").unlink(missing_ok=True)
        put(f"running/{name}.json", json.dumps(_NOT_BEGUN | changed))(study)

    return damage


def opening(line: str) -> Damage:
    def damage(study: Path) -> None:
        path = study / "test-set.jsonl"
        path.write_text(f"{line}\n{path.read_text()}")

    return damage


_SEARCH, _CONFIRM = "baseline.test_resnet.search.0000", "baseline.test_resnet.confirm.0000"
_T, _E, _P, _C = (
    f"trials/{_SEARCH}.parquet",
    f"epochs/{_SEARCH}.parquet",
    f"predictions/{_SEARCH}.parquet",
    f"predictions/{_CONFIRM}.parquet",
)
_TC, _B, _S, _X = (
    f"trials/{_CONFIRM}.parquet",
    f"running/{BEGUN}.json",
    "spec.json",
    "running/x.json",
)
_DEEP = "[" * 100_000
_NUL = "a\0b\x1b[2J"

DAMAGES: dict[str, Case] = {
    "trials cut": Case(cut("trials", 200), _T),
    "trials cut at the end": Case(cut("trials", -20), _T),
    "trials empty": Case(cut("trials", 0), _T),
    "trials foreign": Case(
        lambda s: pd.DataFrame({"a": [1]}).to_parquet(s / "trials/x.parquet"), "trials/x.parquet"
    ),
    "trials pickle": Case(put("trials/y.parquet", pickle.dumps(print)), "trials/y.parquet"),
    "trials folder": Case(folder("trials/d.parquet"), "trials/d.parquet"),
    "trials pipe": Case(pipe("trials/f.parquet"), "trials/f.parquet"),
    "trials endless": Case(link("trials/z.parquet", "/dev/zero"), "trials/z.parquet"),
    "trials loop": Case(link("trials/l.parquet", "l.parquet"), "trials/l.parquet"),
    "trials dangling": Case(link("trials/g.parquet", "/nope/x"), "trials/g.parquet"),
    "trials copied": Case(copy("trials", "zz.parquet"), "trials/zz.parquet"),
    "trials without rows": Case(edit("trials", lambda t: t.iloc[:0]), _T),
    "trials twice": Case(edit("trials", lambda t: pd.concat([t, t])), _T),
    "trials a file": Case(file("trials"), "trials"),
    "trials other variant": Case(rows("trials", variant="local-only"), _T),
    "trials other backbone": Case(rows("trials", backbone="resnet18"), _T),
    "trials stage": Case(rows("trials", stage="foo"), _T),
    "trials status": Case(rows("trials", status="foo"), _T),
    "trials number": Case(rows("trials", number=10**6), _T),
    "trials number null": Case(rows("trials", number=None), _T),
    "trials lr null": Case(rows("trials", lr=None), _T),
    "trials lr outside": Case(rows("trials", lr=99.0), _T),
    "trials lr text": Case(rows("trials", lr="x"), _T),
    "trials val_auc": Case(rows("trials", val_auc=7.0), _T),
    "trials other val_auc": Case(rows("trials", val_auc=0.123), _E),
    "trials test_auc": Case(rows("trials", "confirm", test_auc=7.0), _TC),
    "trials epochs": Case(rows("trials", epochs=2, best_epoch=2), _E),
    "trials too many epochs": Case(rows("trials", epochs=99), _T),
    "trials best epoch": Case(rows("trials", best_epoch=99), _T),
    "trials crashes": Case(rows("trials", crashes=-1), _T),
    "trials seconds": Case(rows("trials", seconds=float("inf")), _T),
    "trials seed": Case(rows("trials", seed=-1), _T),
    "trials seed null": Case(rows("trials", "confirm", seed=None), _TC),
    "trials confirmation": Case(rows("trials", "confirm", confirmation=99), _TC),
    "trials fixed": Case(rows("trials", fixed=_DEEP), _T),
    "trials without ended_at": Case(edit("trials", lambda t: t.drop(columns="ended_at")), _T),
    "trials ended_at null": Case(rows("trials", ended_at=pd.NaT), _T),
    "trials ended_at text": Case(rows("trials", ended_at="now"), _T),
    "trials id": Case(rows("trials", trial_id="../../x"), _T),
    "epochs cut": Case(cut("epochs", 200), _E),
    "epochs empty": Case(cut("epochs", 0), _E),
    "epochs gone": Case(gone("epochs"), f"epochs/{_CONFIRM}.parquet"),
    "epochs pipe": Case(pipe(_E), _E),
    "epochs from 0": Case(rows("epochs", epoch=0), _E),
    "epochs many": Case(rows("epochs", epoch=10**9), _E),
    "epochs twice": Case(edit("epochs", lambda t: pd.concat([t, t])), _E),
    "epochs fewer": Case(edit("epochs", lambda t: t.iloc[:-1]), _E),
    "epochs text": Case(rows("epochs", val_auc="x"), _E),
    "epochs null": Case(rows("epochs", epoch=None), _E),
    "epochs of another trial": Case(rows("epochs", trial_id="x"), _E),
    "predictions cut": Case(cut("predictions", 2000), _P),
    "predictions of a confirmed model cut": Case(cut("predictions", 900, "confirm"), _C),
    "predictions empty": Case(cut("predictions", 0), _P),
    "predictions gone": Case(gone("predictions"), f"predictions/{_CONFIRM}.parquet"),
    "predictions label": Case(rows("predictions", "confirm", label=2), _C),
    "predictions label null": Case(rows("predictions", "confirm", label=None), _C),
    "predictions score": Case(rows("predictions", "confirm", score=5.0), _C),
    "predictions score infinite": Case(rows("predictions", "confirm", score=float("inf")), _C),
    "predictions score text": Case(rows("predictions", "confirm", score="x"), _C),
    "predictions box": Case(rows("predictions", "confirm", x0=-1.0), _C),
    "predictions split": Case(rows("predictions", "confirm", split="train"), _C),
    "predictions without test": Case(
        edit("predictions", lambda t: t[t.split == "validation"], "confirm"), _C
    ),
    "predictions arm": Case(rows("predictions", "confirm", arm="x/y"), _C),
    "predictions stage": Case(rows("predictions", "confirm", stage="search"), _C),
    "predictions seed": Case(rows("predictions", "confirm", seed=77), _C),
    "predictions half": Case(edit("predictions", lambda t: t.iloc[::2], "confirm"), "0000.parquet"),
    "predictions twice": Case(edit("predictions", lambda t: pd.concat([t, t]), "confirm"), _C),
    "predictions image null": Case(rows("predictions", "confirm", image_id=None), _C),
    "predictions labels swapped": Case(
        edit("predictions", lambda t: t.assign(label=1 - t.label), "confirm"), "0000.parquet"
    ),
    **{
        f"spec {name}": Case(put(_S, content), _S)
        for name, content in {
            "empty": "",
            "not JSON": "{",
            "list": "[]",
            "null": "null",
            "number": "3",
            "binary": b"\xff\xfe\0",
            "deep": _DEEP,
            "version NaN": '{"schema_version": NaN}',
        }.items()
    },
    "spec folder": Case(folder(_S), _S),
    "spec pipe": Case(pipe(_S), _S),
    "spec endless": Case(link(_S, "/dev/zero"), _S),
    **{
        f"schema {version!r}": Case(top(schema_version=version), _S)
        for version in (2, "1", 1.0, True, None)
    },
    **{
        f"spec {name} {value!r:.20}": Case(top(**{name: value}), _S)
        for name, value in (
            ("options", []),
            ("data", "x"),
            ("arms", 3),
            ("arms", None),
            ("arms", ["foo/bar"]),
            ("arms", [1, 2]),
            ("arms", ["baseline"]),
            ("runs", "x"),
            ("runs", None),
            ("runs", [{"busy": "x"}]),
            ("spent", "x"),
            ("spent", {"a": {"trials": "x"}}),
            ("versions", None),
            ("created_at", 3),
            ("declared", 3),
            ("declared", {"baseline": {"variant": 3}}),
            ("weights", [1]),
            ("parts", [1]),
        )
    },
    "spec arms twice": Case(spec(lambda c: c.update(arms=c["arms"] * 2)), _S),
    **{
        f"option {name} {value!r:.30}": Case(option(**{name: value}), _S)
        for name, value in (
            *(("trials", value) for value in ("3", -1, 10**30, 3.5, None, True)),
            *(("epochs", value) for value in (0, "x", 10**30)),
            *(("variants", value) for value in ("baseline", ["foo"], [], ["baseline"], None)),
            *(("backbones", value) for value in (["../../x"], [], [1], "test_resnet")),
            *(("seeds", value) for value in (0, "x")),
            *(("image_size", value) for value in ("32", None)),
            ("source_size", "x"),
            ("data", 5),
            ("seed", "x"),
            ("seed", 1.5),
            ("set", 3),
            ("space", 5),
            ("space", None),
            ("space", [1]),
            ("space", [{"name": "lr", "foo": 1}]),
            ("space", [{"type": "float"}]),
            ("space", [_LR | {"name": "evil"}]),
            ("space", [_LR | {"name": "trial_id"}]),
            ("space", [_LR | {"type": "evil"}]),
            ("space", [_LR | {"low": 1.0}]),
            ("space", [_LR | {"low": 0}]),
            ("space", [_LR | {"low": "x"}]),
            ("space", [_LR, _LR]),
        )
    },
    "option epochs 1": Case(option(epochs=1), "parquet"),
    "option trials 1": Case(option(trials=1), "parquet"),
    "option space []": Case(option(space=[]), "parquet"),
    **{
        f"data {name} {value!r}": Case(record(**{name: value}), _S)
        for name, value in (
            ("left_out", ["x"]),
            ("left_out", 3),
            ("images", "x"),
            ("melanoma", None),
            ("fingerprint", 3),
        )
    },
    "running not JSON": Case(put(_X, "{"), _X),
    "running list": Case(put(_X, "[]"), _X),
    "running binary": Case(put(_X, b"\xff\xfe"), _X),
    "running empty": Case(put(_X, ""), _X),
    "running deep": Case(put(_X, _DEEP), _X),
    "running folder": Case(folder(_X), _X),
    "running pipe": Case(pipe(_X), _X),
    "running endless": Case(link(_X, "/dev/zero"), _X),
    "running of another": Case(put(_X, json.dumps(_NOT_BEGUN)), _X),
    **{
        f"running {name} {value!r:.30}": Case(begun(**{name: value}), _B)
        for name, value in (
            ("arm", ["local-only", "test_resnet"]),
            ("arm", "baseline"),
            ("arm", ["../../../../outside", "x"]),
            ("arm", ["baseline", "../../../outside"]),
            ("arm", ["baseline"]),
            ("stage", "foo"),
            ("number", -1),
            ("number", "x"),
            ("number", 0),
            ("params", {}),
            ("params", {"lr": 99.0}),
            ("params", {"lr": "x"}),
            ("params", {"lr": 0.01, "evil": 1}),
            ("params", [1]),
            ("crashes", "x"),
            ("crashes", -1),
            ("epochs", "x"),
            ("seed", "x"),
            ("started_at", "2026-11-25T00:00:00"),
            ("started_at", "x"),
            ("confirmation", 2),
            ("declared", [1]),
            ("declared", {"name": "x"}),
        )
    },
    "running number 10^12": Case(
        begun("baseline.test_resnet.search.1000000000000", number=10**12),
        "running/baseline.test_resnet.search.1000000000000.json",
    ),
    "running confirmation 99": Case(
        begun("baseline.test_resnet.confirm-99.0000", stage="confirm", number=0, confirmation=99),
        "running/baseline.test_resnet.confirm-99.0000.json",
    ),
    "openings not JSON": Case(opening("{"), "test-set.jsonl"),
    "openings list": Case(opening("[]"), "test-set.jsonl"),
    "openings time": Case(opening('{"trial_id": "x", "time": 3}'), "test-set.jsonl"),
    "openings deep": Case(opening(_DEEP), "test-set.jsonl"),
    "openings pipe": Case(pipe("test-set.jsonl"), "test-set.jsonl"),
    "openings binary": Case(put("test-set.jsonl", b"\xff\xfe\n"), "test-set.jsonl"),
    "metadata no Parquet": Case(put("metadata.parquet", "x"), "metadata.parquet"),
    "metadata pipe": Case(pipe("metadata.parquet"), "metadata.parquet"),
    "metadata foreign": Case(
        lambda s: pd.DataFrame({"a": [1]}).to_parquet(s / "metadata.parquet"), "metadata.parquet"
    ),
    **{
        f"arm {name!r:.20}": Case(arms_named(name), "json" if name != "x/y" else "parquet")
        for name in ("<script>alert(1)</script>", "../../../outside/x", _NUL, "=cmd|'/c calc'!A1")
    },
}

HARMLESS: dict[str, Damage] = {
    "nothing": lambda _: None,
    "a note in trials": put("trials/readme.txt", "x"),  # no Parquet file: nobody reads it
    "epochs of no trial": put("epochs/x.parquet", "x"),  # as a killed run leaves
    "predictions of no trial": pipe("predictions/x.parquet"),
    "a folder of rows elsewhere": lambda s: (
        (s / "trials").rename(s.parent / "elsewhere"),
        (s / "trials").symlink_to(s.parent / "elsewhere"),
    ),
    "no created_at": spec(lambda content: content.pop("created_at")),  # shown only
    "no score": rows("predictions", "confirm", score=float("nan")),  # a model that diverged
    "an error with markup": rows("trials", error="<script>[red]"),  # escaped where it is shown
    "begun in the future": begun(started_at="2099-11-25T00:00:00+00:00"),  # a clock that was set
    "no openings": gone("test-set.jsonl"),  # as before there was the file
    "no trials": gone("trials"),  # a study that has only just begun; all of it runs again
    "journal a folder": folder("optuna.journal"),  # made from the rows at every start
    "journal empty": put("optuna.journal", ""),
    "journal pipe": pipe("optuna.journal"),
    "no lock": gone(".lock"),
    "a torn last opening": lambda s: (s / "test-set.jsonl").open("a").write('{"ti'),  # of before
    "later fields": top(later={"a": 1}),
}

# What no figure depends on: tables are made of such a study, the search refuses to go on.
OF_THE_SEARCH: dict[str, Damage] = {
    "spec gone": gone(_S),  # rows alone are a study for tables
    "spec {}": put(_S, "{}"),
    "no options": spec(lambda content: content.pop("options")),
    "option unknown": option(foo=1),
    "option sampler": option(sampler="foo"),
    "option scheduler": option(scheduler="foo"),
    "option validation": option(validation="foo"),
    "option seed": option(seed=-1),
    "option fit": option(fit="foo"),
    "option pretrained": option(pretrained="no"),
    "option batch": option(batch_size=0),
    "option study": option(study="/etc"),
    "option address": option(address="10.0.0.1:1"),
    "option set": option(set=["lr"]),
    "option weights": option(weights=["x"]),
}
LOCKS: dict[str, Damage] = {"lock pipe": pipe(".lock"), "lock folder": folder(".lock")}


def run(words: list[str], output: Path, replace: Callable[[], None]) -> tuple[int | None, str]:
    """A command in a fork: its exit status, or None if it did not end in time, and its stderr.

    Args:
        words: the module and its arguments.
        replace: called in the fork, to leave out what is no reading.
    """
    from masll.common import command

    module = sys.modules[words[0]]
    child = os.fork()
    if child == 0:
        os.setsid()
        sys.stdout = sys.stderr = output.open("w", buffering=1)  # type: ignore[assignment]
        status = 99
        try:
            replace()
            command.run(lambda _: module.main(words[1:]))
        except SystemExit as ended:
            status = int(ended.code or 0)
        except BaseException:
            traceback.print_exc()
        sys.stderr.flush()
        os._exit(status)
    ends = time.monotonic() + LIMIT
    while time.monotonic() < ends:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status), _said(output)
        time.sleep(0.01)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None, _said(output)


def _said(output: Path) -> str:
    """What a command wrote, but for the notice that the images of tests are few."""
    lines = output.read_text(errors="replace").splitlines(keepends=True)
    return "".join(line for line in lines if " is partial: " not in line)
