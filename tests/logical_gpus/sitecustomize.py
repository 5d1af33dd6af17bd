"""On PYTHONPATH of a test, for every Python that it starts: Ray's logical GPUs are the CPU.

A worker with a share of a GPU asks `masll.devices.find_gpu`, which refuses where CUDA has none.
"""

import importlib.abc
import importlib.machinery
import sys
from types import ModuleType


class _Patched(importlib.abc.Loader):
    def __init__(self, loader: importlib.abc.Loader) -> None:
        self.loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self.loader.exec_module(module)
        module.find_gpu = lambda: module.find_device("cpu")  # type: ignore[attr-defined]


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name: str, path=None, target=None):
        if name != "masll.devices":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Patched(spec.loader)
        return spec


sys.meta_path.insert(0, _Finder())
