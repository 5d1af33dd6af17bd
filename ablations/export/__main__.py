"""`python -m ablations.export STUDY --to TARGET DIR`: a study's rows, as other programs take them.

The command line; `whole` does the work.
"""

import functools
import importlib.util

from ablations.export.targets import TARGETS
from masll.common.command import Parser, run
from masll.common.errors import InputError
from masll.common.outputs import check_output
from masll.common.storage import any_path

_EPILOG = """\
examples:
  python -m ablations.export studies/paper --to mlflow exported/
      a run per trial in exported/mlflow.db, in the experiment 'paper'
  python -m ablations.export studies/paper --to tensorboard exported/
      event files in exported/paper/TRIAL/, with hyperparameters
  python -m ablations.export studies/paper --to wandb-offline exported/
      offline runs in exported/paper/wandb/, which `wandb sync` uploads later;
      nothing is sent from here
  python -m ablations.export studies/paper --to isic exported/
      what each confirmed model says of the test images, in exported/paper/, as
      isic-challenge-scoring takes it, and truth.csv to score it against

Several studies may share a folder, which lies outside of them. A second export
of a study keeps the runs of trials that are as they were, replaces those of
trials that are not, adds what is new, and removes what the study has no more,
such as trials that were set aside: no run is there twice.

exit status: 0 written, 2 bad input, 130 stopped by Ctrl-C: the same command goes on
"""


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(
        prog="python -m ablations.export",
        description="Write the trials of a study as MLflow, TensorBoard or W&B keep runs, or its "
        "predictions as the ISIC challenges take them.",
        epilog=_EPILOG,
    )
    parser.add_argument("study", metavar="STUDY", help="folder of a study, here or on s3://")
    parser.add_argument("--to", required=True, choices=list(TARGETS), help="what to write")
    parser.add_argument("folder", metavar="DIR", help="folder to write into")
    options = parser.parse_args(arguments)
    target = TARGETS[options.to]
    missing = [name for name in target.packages if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"{', '.join(missing)} not installed; pip install 'masll-lab[{target.extra}]' brings it"
        )
    folder = any_path(options.folder)
    if folder.remote and not target.takes_s3:
        raise InputError(f"--to {options.to} writes to this machine only; name another DIR")
    refused = [each for each in target.refused if each in str(folder.resolve())]
    if refused:
        raise InputError(
            f"--to {options.to} takes no DIR with {' or '.join(map(repr, refused))}, got "
            f"'{folder.resolve()}'; name another DIR"
        )
    check_output(folder, "DIR")
    from ablations.export.whole import export_study  # pandas, which takes a while

    export_study(options.study, target, folder)
    return 0


command = functools.partial(run, main)

if __name__ == "__main__":
    command()
