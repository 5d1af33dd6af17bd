"""`python -m masll.audit`: does the localizer find the lesion? Boxes against lesion masks.

With `--sanity` also: does its map show what was learned? Against maps of weights drawn anew.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from masll.common.command import Parser, run
from masll.common.errors import InputError
from masll.common.options import add_options, option, options_from
from masll.common.outputs import check_output
from masll.common.storage import local_path
from masll.config import MOST_SHARE, ModelConfig
from masll.data.options import SourceOptions, data_options
from masll.parts import load_part

if TYPE_CHECKING:
    from masll.localizer_sanity import SanityRow

SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0)
SEEDS = 3  # of --sanity
_BOX_OPTIONS = {"map_size", "largest_component", "box_padding", "min_box_side", "square_box"}

_EPILOG = """\
examples:
  python -m masll.audit --data ISIC2017 --backbone efficientnet_lite0 --image-size 256 --out audit
      the localizer with ImageNet weights and no training
  python -m masll.audit --data ISIC2017 --model studies/first/models/gated-fusion/resnet18/seed-1
      a trained one; box options such as --largest-component replace its own
  python -m masll.audit --data ISIC2017 --model studies/first/models/gated-fusion/resnet18/seed-1 \\
      --sanity --out audit
      also its maps beside those of weights drawn anew, and of other images
"""


@dataclass(frozen=True)
class AuditOptions(SourceOptions):
    """What to audit, on which images, of which some have lesion masks."""

    model: str | None = option(
        None, "folder of a trained model (default: ImageNet weights, untrained)", metavar="DIR"
    )
    variant_from: tuple[str, ...] = option(
        (), "the model's own localizer, which runs only if you name it", metavar="FILE.py"
    )
    partial: bool = option(False, "leave out rows without an image and images without a row")
    split: str = option("validation", "which images", choices=("train", "validation", "test"))
    scales: tuple[float, ...] = option(SCALES, "threshold scales")
    sanity: bool = option(
        False,
        "also compare the maps with those of weights that are drawn anew, from the top layers to "
        "all, and with those of other images: some 30 passes over the images",
    )
    seeds: int | None = option(
        None,
        f"networks that --sanity draws, with seeds 1, 2, ... (default: {SEEDS})",
        least=1,
        most=1000,
    )
    device: str = option("auto", "auto, cpu, cuda, ...")
    out: str | None = option(
        None, "folder for audit.csv, audit.png and, of --sanity, sanity.csv", metavar="DIR"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for scale in self.scales:
            if not 0 < scale <= MOST_SHARE:
                raise InputError(
                    f"--scales must be above 0 and at most {MOST_SHARE}, got {scale:g}"
                )
        if len(set(self.scales)) < len(self.scales):
            shown = " ".join(f"{scale:g}" for scale in self.scales)
            raise InputError(f"--scales names one of {shown} twice; name each once")
        if self.variant_from and self.model is None:
            raise InputError(
                "--variant-from is for a --model that has such a part; name it, or leave it out"
            )
        if self.seeds is not None and not self.sanity:
            raise InputError(
                f"--seeds {self.seeds} belongs to --sanity; name both, or leave it out"
            )


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(
        prog="python -m masll.audit",
        description="Compare a localizer's boxes with lesion masks.",
        epilog=_EPILOG,
    )
    add_options(parser, AuditOptions)
    no_part_in_localization = ("variant", "threshold_scale", "shared_backbone")
    add_options(parser, ModelConfig, skip=no_part_in_localization, suppress_defaults=True)
    namespace = parser.parse_args(arguments)
    options = options_from(namespace, AuditOptions)
    folder = None if options.out is None else local_path(options.out, "--out")
    if folder is not None:
        check_output(folder, "--out")
    names = {field.name for field in dataclasses.fields(ModelConfig)}
    changes = {name: value for name, value in vars(namespace).items() if name in names}
    untrained = ModelConfig(**changes)
    if options.model is not None:
        fixed = sorted(set(changes) - _BOX_OPTIONS)
        if fixed:
            flag = "--" + fixed[0].replace("_", "-")
            raise InputError(
                f"{flag} is the trained model's own; leave it out, or leave --model out"
            )
    elif options.sanity and not untrained.pretrained and untrained.weights is None:
        raise InputError(
            "--sanity compares trained weights with drawn ones, and --no-pretrained has none that "
            "are trained; name a --model, or leave one of both out"
        )
    from masll.data.prepare import prepare
    from masll.devices import find_device, lay_out  # PyTorch, which takes seconds
    from masll.localizer_audit import audit, draw, write_csv
    from masll.model import build_model, load_model

    device = find_device(options.device)
    if options.model is not None:
        model = load_model(options.model, [load_part(named) for named in options.variant_from])
        model.config = dataclasses.replace(model.config, **changes)
    else:
        model = build_model(untrained)
    data = data_options(options, fit=model.inputs.fit, source_size=None)
    store = prepare(data, model.inputs.source_size)
    audited = store.split(options.split)
    if options.sanity:
        from masll.localizer_sanity import compared, sanity

        several = compared(audited)  # too few are told before the work
    rows = audit(lay_out(model, device), audited, options.scales)
    print("box             IoU  lesion inside  box is lesion  area  fallback")
    for row in rows:
        rate = "       -" if row.fallback_rate is None else f"{row.fallback_rate:8.3f}"
        print(
            f"{row.box:<14}{row.iou:5.3f}{row.lesion_inside:15.3f}{row.lesion_share:15.3f}"
            f"{row.area:6.2f}{rate:>10}"
        )
    empty = 0 if audited.masked is None else int(audited.masked.sum()) - rows[0].images
    left_out = f"; {empty} with an empty mask left out" * bool(empty)
    print(f"{rows[0].images} {options.split} images of {options.data}{left_out}")
    checks = []
    if options.sanity:
        seeds = options.seeds or SEEDS
        checks = sanity(model, several, seeds)
        _show(checks, seeds)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        write_csv(rows, folder / "audit.csv")
        draw(rows, folder / "audit.png")
        written = [folder / "audit.csv", folder / "audit.png"]
        if checks:
            write_csv(checks, folder / "sanity.csv")
            written.append(folder / "sanity.csv")
        print(f"wrote {', '.join(map(str, written))}")
    return 0


def _show(checks: "Sequence[SanityRow]", seeds: int) -> None:
    print("\nown maps and boxes beside those of  correlation of maps       IoU of boxes")
    for row in checks:
        maps = f"{row.correlation:6.3f} [{row.correlation_low:6.3f}, {row.correlation_high:6.3f}]"
        boxes = f"{row.iou:.3f} [{row.iou_low:.3f}, {row.iou_high:.3f}]"
        print(f"{row.compared_with:<34}{maps:>25}{boxes:>22}")
    print(
        f"{checks[0].images} images, mean with 95 % interval; seeds 1 to {seeds}. A map that stays "
        "the same without\nthe weights shows edges or darkness, not what was learned; one that is "
        "the same for another image\nshows a place, such as the centre. Large boxes overlap "
        "whatever they show: hold IoU against the last line."
    )


if __name__ == "__main__":
    run(main)
