"""The commands that README and docs name, and a folder with everything that they take.

Most are run as they stand, up to their work. What takes machines or files that no test has is only
parsed: `PARSED_ONLY` says which those are.
"""

import json
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from masll.config import ModelConfig
from masll.model import build_model, save_model
from tests.masll.data import published
from tests.options.forks import COMMANDS
from tests.support import ROOT, TINY_BACKBONE

PAGES = sorted(
    path
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/README.md")]
    if ".venv" not in path.parts and path.parent.name != "report"  # which is written, not meant
)
_CONTINUED = re.compile(r"\\\n\s*")
# Up to the end of a line, a comment, a redirection, a backtick, or the quote of `ray exec '...'`.
_COMMAND = re.compile(r"python -m ((?:masll|tuning|ablations)[\w.]*)([^\n`'#|>]*)")
_KEYS = {module.removesuffix(".__main__"): key for key, module in COMMANDS.items()}

PARSED_ONLY: Mapping[str, str] = MappingProxyType(
    {
        r"s3://|\$BUCKET": "an object store",
        r"--address": "a cluster",
        r"--num-gpus [1-9]": "GPUs",
        r" /(new|shared)/": "a path of somebody's machine",
        r"\b(FOLDER|STUDY|PATH|DIR|NAME)\b": "a placeholder",
        r"studies/mine|--study isic2017 --resume": "a study that is somebody's own",
        r"^masll\.data \w+$": "the name of a command",
        r"--by ": "metadata, which the small study has not",
        r"synthesize|data audit|--drop-leaks": "seconds of work, which tests of its own do",
    }
)
# Added to a command, so that it takes a network and images of the size of a test.
_SMALL: Mapping[str, str] = MappingProxyType(
    {
        "tuning.search": "--backbones test_resnet --no-pretrained --num-gpus 0 --image-size 32 "
        "--source-size 48 --batch-size 8",
        "masll.train": "--backbone test_resnet --no-pretrained --device cpu --image-size 32 "
        "--source-size 48 --batch-size 8 --out models/new",
        "masll.audit": "--device cpu",
        "masll.predict": "--device cpu",
        "ablations.external": "--device cpu --duplicates unchecked",
    }
)


class Documented(NamedTuple):
    """A command of a page."""

    page: str  # its first one
    module: str
    words: str

    def __str__(self) -> str:
        return f"{self.module} {self.words}".strip()

    @property
    def parsed_only(self) -> str:
        """Why it is not run; nothing where it is."""
        reasons = (why for what, why in PARSED_ONLY.items() if re.search(what, str(self)))
        return next(reasons, "")

    @property
    def line(self) -> str:
        """For `tests.options.forks`."""
        given = f"{_KEYS[self.module]} {self.words}"
        if self.parsed_only:
            return f"parse {given}"
        # What a study that goes on was asked cannot change.
        small = "--num-gpus 0" if "--resume" in self.words else _SMALL.get(self.module, "")
        return f"{given} {small}"


def documented(pages: Iterable[Path] = PAGES) -> list[Documented]:
    """Every command of the pages, once, with its words; a text may also name one without."""
    found: dict[tuple[str, str], Documented] = {}
    for page in pages:
        if page.name == "CHANGELOG.md":  # of versions that have been
            continue
        for module, words in _COMMAND.findall(_CONTINUED.sub(" ", page.read_text())):
            module, words = module.rstrip("."), " ".join(words.split())
            if words and "..." not in words:
                name = str(page.relative_to(ROOT))
                found.setdefault((module, words), Documented(name, module, words))
    return list(found.values())


def make_place(place: Path, isic: Path) -> None:
    """Fill a folder with what the commands name."""
    place.mkdir()
    shutil.copytree(isic, place / "ISIC2017")
    published.make("ham10000", place / "HAM10000")
    images = sorted(place.glob("ISIC2017/*_Data/*.jpg"))
    shutil.copytree(images[0].parent, place / "clinic")
    for name in ("lesion.jpg", "scan.png"):
        shutil.copy(images[0], place / name)
    rows = [f"{image.relative_to(place)},{n % 2},{n}\n" for n, image in enumerate(images)]
    for name in ("lesions.csv", "PH2.csv"):
        (place / name).write_text("".join(["image,label,group\n", *rows]))
    _write_examples(place)
    for name in ("paper", "longer", "2026-11-30-084420"):
        study = place / "studies" / name
        shutil.copytree(ROOT / "tests" / "golden" / "finished", study)
        spec = json.loads((study / "spec.json").read_text())
        spec["options"]["data"] = "ISIC2017"
        (study / "spec.json").write_text(json.dumps(spec))
    shutil.copytree(ROOT / "docs" / "isic2017" / "rows", place / "docs" / "isic2017" / "rows")
    model = place / "models" / "d121"
    _save(ModelConfig(backbone=TINY_BACKBONE, pretrained=False, image_size=32), model)
    for variant in ("baseline", "gated-fusion"):
        network = ModelConfig(variant, "test_efficientnet", pretrained=False, image_size=32)
        for seed in (1, 2):
            _save(network, place / f"studies/paper/models/{variant}/test_efficientnet/seed-{seed}")
    (model / "validation.csv").write_text("image_id,label,score\na,0,0.2\nb,1,0.7\nc,0,0.4\n")


def _save(network: ModelConfig, folder: Path) -> None:
    save_model(build_model(network), folder)


def _write_examples(place: Path) -> None:
    """The files that the pages show."""
    guide, arms, parts = (
        (ROOT / "docs" / f"{name}.md").read_text() for name in ("guide", "arms", "parts")
    )
    (place / "space.toml").write_text(_block(guide, "toml"))
    (place / "arms.toml").write_text(_block(arms, "toml"))
    (place / "parts.toml").write_text(_block(parts, "toml"))
    for name, code in re.findall(r"```python\n# (\w+\.py)\n(.*?)```", parts, re.DOTALL):
        (place / name).write_text(code)
    shutil.copy(place / "branch_weights.py", place / "my_fusion.py")


def _block(text: str, language: str) -> str:
    (block,) = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    return block
