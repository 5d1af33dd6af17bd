"""`python -m ablations.external STUDY --data PATH`: confirmed models on an external set."""

from ablations.external.options import ExternalOptions
from masll.common.command import Parser, run
from masll.common.errors import InputError
from masll.common.options import add_options, options_from
from masll.common.outputs import check_output
from masll.common.storage import any_path
from masll.data.options import SourceOptions

_EPILOG = """\
examples:
  python -m ablations.external studies/paper --data PH2.csv
      every confirmed model on all images of PH2.csv; tables go to
      studies/paper/external/PH2/report/. Images that the models were trained or
      validated on are named and left out.
  python -m ablations.external studies/paper --data clinic/ --name clinic-2026
      a folder of images without labels: probabilities and boxes only, into
      studies/paper/external/clinic-2026/predictions/
  python -m ablations.external studies/paper --data PH2.csv --corrupt hair ruler blur
      the same images corrupted, too, and what that costs each arm
  python -m ablations.external --model models/a models/b --data PH2.csv --out compared/ \\
      --duplicates unchecked
      models without a study

The positive class and the meanings of label texts are those of the study;
--labels adds to them, and --positive is for --model.

What is there is not evaluated again: stopped, or with more --corrupt, the same
command goes on.

exit status: 0 all evaluated, 2 bad input, 130 stopped by Ctrl-C
"""


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(
        prog="python -m ablations.external",
        description="Evaluate the confirmed models of a study on images that took no part in it.",
        epilog=_EPILOG,
    )
    parser.add_argument(
        "study", metavar="STUDY", nargs="?", help="folder of a study, here or on s3://"
    )
    add_options(parser, ExternalOptions)
    add_options(parser, SourceOptions, skip=("data",), suppress_defaults=True)
    namespace = parser.parse_args(arguments)
    options = options_from(namespace, ExternalOptions)
    _check_whose(namespace.study, options)
    source = options_from(namespace, SourceOptions)
    from ablations.external.whole import evaluate_set  # pandas and PyTorch, which take seconds

    evaluate_set(namespace.study, options, source, vars(namespace).keys())
    return 0


def _check_whose(named: str | None, options: ExternalOptions) -> None:
    """Raise `InputError` unless it is clear whose models are meant, and where their rows go."""
    if (named is None) == (not options.model):
        raise InputError("name one of STUDY and --model DIR: whose models are evaluated")
    if named is not None and options.out is not None:
        raise InputError("--out belongs to --model; what a study's models say lies in the study")
    if options.model:
        if options.out is None:
            raise InputError("--out DIR is needed with --model: the folder for what the models say")
        check_output(any_path(options.out), "--out")


if __name__ == "__main__":
    run(main)
