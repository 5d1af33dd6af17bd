"""The rules of the house: who may import whom, what importing does, what the library needs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

from tests.support import ROOT

PACKAGES = ("masll", "tuning", "ablations")


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*PACKAGES, cache_dir=None)


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("masll/model.py", "import tuning.search", "The library needs no search"),
        ("masll/localization.py", "from masll.model import Masll", "The paper is read from the"),
        ("masll/common/errors.py", "import torch", "What commands share needs no PyTorch"),
        ("tuning/study/arm.py", "import optuna", "The study folder needs neither Ray nor"),
        ("tuning/plan.py", "import tuning.engine", "The search is built on the study folder"),
        ("ablations/tables.py", "import ray", "Reports never import Ray"),
        ("tuning/engine.py", "import ablations.tables", "Only the search's first and last screens"),
        ("ablations/tables.py", "import ablations.report", "No circles"),
    ],
)
def test_a_wrong_import_breaks_its_contract(tmp_path, file, line, contract):
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    path = tmp_path / file
    path.write_text(f"{path.read_text()}\n{line}\n")
    command = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run(
        [command, "--no-cache"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
    )
    broken = [each for each in result.stdout.splitlines() if " BROKEN" in each]
    assert result.returncode == 1 and any(each.startswith(contract) for each in broken), (
        result.stdout + result.stderr
    )


def test_reports_build_on_the_study_folder_and_on_nothing_else_of_the_search(graph):
    for module in graph.find_descendants("ablations"):
        imported = graph.find_modules_directly_imported_by(module)
        strangers = {
            name
            for name in imported
            if name.startswith("tuning.") and not f"{name}.".startswith("tuning.study.")
        }
        assert not strangers, f"{module} imports {strangers}"


def test_nobody_but_the_storage_room_asks_where_a_file_lies():
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            if "storage" not in path.parts:
                assert "S3Path)" not in path.read_text().replace(": S3Path)", ""), path


IMPORT = """
import importlib, json, logging, os, sys, warnings
before = dict(os.environ), list(warnings.filters), logging.getLogger().level
importlib.import_module(sys.argv[1])
after = dict(os.environ), list(warnings.filters), logging.getLogger().level
print([name for name, a, b in zip(("environment", "warnings", "logging"), before, after) if a != b])
if "optuna" in sys.modules:
    import optuna
    assert optuna.logging.get_verbosity() == optuna.logging.INFO, "Optuna's verbosity"
if "matplotlib" in sys.modules:
    import matplotlib
    assert matplotlib.rcParams._get_backend_or_none() is None, "matplotlib's backend"
"""
LIBRARIES = """
import importlib, os, warnings
for name in ("torch", "timm", "optuna", "matplotlib", "seaborn", "sklearn", "scipy.stats", "pandas",
             "ray", "ray.tune", "pyarrow", "IPython", "rich.console", "tqdm", "PIL.Image",
             "tensorboard.plugins.hparams.summary_v2"):
    importlib.import_module(name)
"""


@pytest.mark.slow
@pytest.mark.parametrize("package", PACKAGES)
def test_importing_changes_nothing_in_the_reader_s_process(graph, package):
    # Libraries set what they like as they are imported; so they come first.
    script = LIBRARIES + IMPORT.replace("sys.argv[1]", "name").replace(
        "importlib.import_module(name)",
        "for name in sys.argv[1:]:\n    importlib.import_module(name)",
        1,
    )
    modules = sorted(
        name for name in graph.find_descendants(package) if not name.endswith("__main__")
    )
    result = subprocess.run(
        [sys.executable, "-c", script, *modules],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={key: value for key, value in os.environ.items() if not key.startswith("MPL")},
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "[]", result.stdout


LEAN = """
import sys

class Lean:
    def __init__(self, finders):
        self.finders = finders

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            return None
        specs = (finder.find_spec(name, path, target) for finder in self.finders)
        return next((spec for spec in specs if spec is not None), None)

ABSENT = {"ray", "optuna", "pandas", "pyarrow", "seaborn", "matplotlib", "rich", "scipy", "sklearn",
          "IPython", "nbformat", "nbclient", "nbconvert", "tuning", "ablations"}
sys.meta_path[:] = [Lean(list(sys.meta_path))]

from masll.common.errors import InputError
from masll import load_model, predict, train

out, image = sys.argv[1:]
small = "--no-pretrained --backbone test_resnet --image-size 32 --epochs 1 --device cpu".split()
assert train.main([*small, "--out", out]) == 0
assert predict.main(["--model", out, image]) == 0
assert load_model(out).config.variant == "gated-fusion"
try:
    load_model("s3://bucket/model")
except InputError as error:
    assert "needs pyarrow" in str(error), error
assert not ABSENT & set(sys.modules)
"""


@pytest.mark.slow
def test_the_library_trains_predicts_and_loads_with_what_it_declares_alone(isic_master, tmp_path):
    """The rest is hidden, as if it were not installed; CI also installs the wheel alone."""
    image = next((isic_master / "ISIC-2017_Test_v2_Data").glob("*.jpg"))
    result = subprocess.run(
        [sys.executable, "-c", LEAN, tmp_path / "model", image],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "MASLL_CACHE": str(tmp_path / "cache")},
    )
    assert result.returncode == 0, result.stderr
