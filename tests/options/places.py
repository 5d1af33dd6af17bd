"""Files and folders that the command lines of the tests name, most of them no good."""

import io
import json
import os
import pickle
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from masll.config import ModelConfig
from masll.model import build_model, save_model
from tests.support import ROOT, TINY_BACKBONE

TEXTS: Mapping[str, str] = MappingProxyType(
    {
        "bad.toml": "[lr\nlow=",
        "empty.toml": "",
        "unknown.toml": "[lrr]\nlow=1e-3\nhigh=1e-2\n",
        "nan.toml": "[lr]\nlow=nan\nhigh=0.1\n",
        "inf.toml": "[lr]\nlow=0.001\nhigh=inf\n",
        "rev.toml": "[lr]\nlow=0.1\nhigh=0.001\n",
        "neg.toml": "[lr]\nlow=-1\nhigh=1\n",
        "str.toml": "[lr]\nlow='a'\nhigh=1.0\n",
        "key.toml": "[lr]\nlo=1\n",
        "notable.toml": "lr = 3\n",
        "list.toml": "lr = [1,2]\n",
        "emptychoice.toml": "[optimizer]\ntype='choice'\nchoices=[]\n",
        "badchoice.toml": "[optimizer]\ntype='choice'\nchoices=['lion']\n",
        "mixed.toml": "[optimizer]\ntype='choice'\nchoices=['sgd', 3]\n",
        "epochs.toml": "[epochs]\ntype='int'\nlow=1\nhigh=1000000\n",
        "seed.toml": "[seed]\ntype='int'\nlow=0\nhigh=9\n",
        "batch0.toml": "[batch_size]\ntype='int'\nlow=0\nhigh=9\n",
        "imgsize.toml": "[image_size]\ntype='choice'\nchoices=[32,64]\n",
        "variant.toml": "[variant]\ntype='choice'\nchoices=['baseline','gated-fusion']\n",
        "backbone.toml": "[backbone]\ntype='choice'\nchoices=['resnet18']\n",
        "weights.toml": "[weights]\n"
        "type='choice'\n"
        "choices=['/etc/passwd']\n"
        "default='/etc/passwd'\n",
        "pre.toml": "[pretrained]\ntype='choice'\nchoices=[true,false]\n",
        "novar.toml": "[lr]\nvariants=[]\n",
        "varstr.toml": "[lr]\nvariants='baseline'\n",
        "logzero.toml": "[lr]\nlow=0.0\nhigh=0.1\nlog=true\n",
        "logstr.toml": "[lr]\nlog='yes'\n",
        "defout.toml": "[lr]\ndefault=5.0\n",
        "defstr.toml": "[lr]\ndefault='x'\n",
        "huge.toml": "[lr]\nlow=1e300\nhigh=1e308\ndefault=1e305\n",
        "bigint.toml": "[map_size]\ntype='int'\nlow=0\nhigh=99999999999999999999\n",
        "mapbig.toml": "[map_size]\n"
        "type='choice'\n"
        "choices=[1000000]\n"
        "default=1000000\n"
        "variants=['gated-fusion']\n",
        "dupchoice.toml": "[optimizer]\ntype='choice'\nchoices=['sgd','sgd']\n",
        "thr0.toml": "[threshold_scale]\nlow=0.0\nhigh=2.0\n",
        "typ.toml": "[lr]\ntype='categorical'\n",
        "intlr.toml": "[lr]\ntype='int'\nlow=1\nhigh=2\n",
        "both.toml": "[lr]\ntype='choice'\nlow=1e-3\nhigh=1e-2\n",
        "date.toml": "[lr]\nlow=2020-01-01\nhigh=0.1\n",
        "bool.toml": "[lr]\nlow=true\nhigh=2.0\n",
        "nul.toml": "[lr]\nlow=1e-3\x00\n",
        "compile.toml": "[compile]\ntype='choice'\nchoices=[true,false]\n",
        "onearm.toml": "[threshold_scale]\nlow=0.5\nhigh=2.0\nvariants=['baseline']\n",
        "no.csv": "",
        "head.csv": "image,label,split\n",
        "cols.csv": "img,label,split\na,0,train\n",
        "one.csv": "image,label,split\na.jpg,0,train\n",
        "text.csv": "hello\nworld\n",
        "bin.csv": "ÿþ\x00\x01",
        "esc.csv": "image,label,split\n../../etc/passwd,0,train\n/etc/passwd,1,train\n",
        "notes.txt": "x",
    }
)
# What a model's config.json says instead.
CONFIGS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "m_src0": {"source_size": 0},
        "m_srcneg": {"source_size": -5},
        "m_srcstr": {"source_size": "big"},
        "m_srchuge": {"source_size": 10**9},
        "m_small": {"source_size": 16},
        "m_fit": {"fit": "../../x"},
        "m_extra": {"foo": 1},
        "m_img": {"image_size": "64"},
        "m_bb": {"backbone": 5},
        "m_bbpath": {"backbone": "../../../etc/passwd"},
        "m_nan": {"threshold_scale": "nan"},
        "m_bool": {"largest_component": "no"},
        "m_null": {"backbone": None},
        "m_pad": {"box_padding": "x"},
    }
)


class _Evil:
    """Unpickled, it leaves a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


def make_places(folder: Path, isic: Path) -> None:
    """Fill a folder with what the command lines name; nothing may ever write `folder`/ran."""
    files = folder / "files"
    files.mkdir(parents=True)
    for name, text in TEXTS.items():
        (files / name).write_bytes(text.encode("latin-1"))
    os.mkfifo(files / "fifo")
    (files / "zero.jpg").touch()
    evil = pickle.dumps({"a": _Evil(folder / "ran")})
    (files / "evil.bin").write_bytes(evil)
    zipped = io.BytesIO()
    torch.save({"a": _Evil(folder / "ran")}, zipped)
    (files / "evil.pt").write_bytes(zipped.getvalue())
    (folder / "nonempty").mkdir()
    (folder / "nonempty" / "x").write_text("x")
    (folder / "emptydir").mkdir()
    (folder / "isic").symlink_to(isic)
    (folder / "image").symlink_to(next(isic.glob("*Validation_Data/*.jpg")))
    (folder / "images").symlink_to(next(isic.glob("*Validation_Data")))
    shutil.copytree(ROOT / "tests" / "golden" / "finished", folder / "finished")
    model = folder / "model"
    network = ModelConfig(backbone=TINY_BACKBONE, pretrained=False, image_size=32)
    save_model(build_model(network), model)
    config = json.loads((model / "config.json").read_text())
    for name, says in CONFIGS.items():
        _model_like(model, files / name, config | dict(says))
    _model_like(model, files / "m_list", [1])
    _model_like(model, files / "m_badst", config, b"\x80\x04evil")
    _model_like(model, files / "m_hugehdr", config, (2**62).to_bytes(8, "little") + b"{}")
    _model_like(model, files / "evilmodel", config, zipped.getvalue())


def _model_like(model: Path, folder: Path, config: Any, weights: bytes | None = None) -> None:
    shutil.copytree(model, folder)
    (folder / "config.json").write_text(json.dumps(config))
    if weights is not None:
        (folder / "model.safetensors").write_bytes(weights)
