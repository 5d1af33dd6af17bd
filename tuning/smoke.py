"""`python -m tuning.smoke`: does all of this work on the GPUs of this machine? One page says so."""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from masll.common.command import Parser, run
from masll.common.options import add_options, check_fields, option, options_from
from masll.config import LEAST_PIXELS, MOST_PIXELS

_EPILOG = """\
examples:
  python -m tuning.smoke
      all of it, some minutes; paste the page into an issue
  python -m tuning.smoke --device cpu --backbone test_resnet
      what of it a machine without a GPU can do

exit status: 0 all is well, 1 something is not, 2 bad input
"""


@dataclass(frozen=True)
class SmokeOptions:
    """What is checked, and where."""

    device: str = option("cuda", "cuda or cpu", choices=("cuda", "cpu"))
    backbone: str = option("densenet121", "timm network whose steps are compared with the CPU's")
    image_size: int = option(
        224, "side of its input in pixels", least=LEAST_PIXELS, most=MOST_PIXELS
    )

    def __post_init__(self) -> None:
        check_fields(self)


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(
        prog="python -m tuning.smoke",
        description="Check that training, crops, packing and resuming work on this machine's GPUs.",
        epilog=_EPILOG,
    )
    add_options(parser, SmokeOptions)
    options = options_from(parser.parse_args(arguments), SmokeOptions)
    on_gpu = options.device == "cuda"
    import torch  # which takes seconds

    from masll.devices import check_cuda, find_gpu
    from tuning.slots import this_machine
    from tuning.smoke_checks import CHECKS, Here, Skipped

    if on_gpu:
        check_cuda()
    device = find_gpu() if on_gpu else torch.device("cpu")
    print(f"# Smoke test on {'GPUs' if on_gpu else 'the CPU'}\n\n| check | | what was seen | s |")
    print("| --- | --- | --- | ---: |", flush=True)
    failed = 0
    with tempfile.TemporaryDirectory(prefix="masll-smoke-") as folder:
        gpus = this_machine().gpus if on_gpu else 0
        here = Here(options.backbone, options.image_size, device, gpus, Path(folder))
        for name, check in CHECKS.items():
            started = time.monotonic()
            try:
                verdict, seen = "ok", check(here)
            except Skipped as reason:
                verdict, seen = "skipped", str(reason)
            except Exception as error:  # whatever it is, the page names it
                # What a compiler says stands in its second line.
                said = " ".join(str(error).split("\n")[:2]).strip()
                verdict, seen = "**FAILED**", f"{type(error).__name__}: {said}"
                failed += 1
            seconds = time.monotonic() - started
            print(f"| {name} | {verdict} | {seen} | {seconds:.0f} |", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    run(main)
