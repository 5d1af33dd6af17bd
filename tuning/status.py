"""`python -m tuning.status [STUDY]`: how far one has come, or which there are, at any time."""

from masll.common.command import Parser, run
from masll.common.errors import InputError
from masll.common.storage import AnyPath, any_path
from masll.common.terminal import Terminal, fitting_table
from tuning.studies import list_studies
from tuning.study.folder import StudyFolder
from tuning.study.known import USUAL, studies_in
from tuning.study.spec import read_spec
from tuning.tables import as_toml, config_of

_EPILOG = """\
examples:
  python -m tuning.status studies/paper
      arms, trials, best validation AUC, what runs now, and time spent
  python -m tuning.status
      a line for each study in studies/: how far it is, on which data, what it found
  python -m tuning.status studies/paper --config > again.toml
      what it was asked, as a file for python -m tuning.search --config
  python -m tuning.status s3://bucket/paper --follow
      the same again every few seconds, until nobody searches in the study any more

exit status: 0 shown, 2 no such study, 130 stopped by Ctrl-C
"""


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(
        prog="python -m tuning.status",
        description="Show how far a study has come, or which there are. Reads folders only: safe "
        "at any time.",
        epilog=_EPILOG,
    )
    parser.add_argument(
        "study",
        metavar="STUDY",
        nargs="?",
        help=f"folder of a study, or of several, here or on s3:// (default: {USUAL})",
    )
    parser.add_argument("--follow", action="store_true", help="go on until the study is done")
    parser.add_argument(
        "--config", action="store_true", help="print what the study was asked, as TOML, and no more"
    )
    options = parser.parse_args(arguments)
    path = any_path(options.study or USUAL)
    path.check_reachable()
    if options.config:
        if options.follow:
            raise InputError("--config prints once, and --follow goes on; leave one of both out")
        print(as_toml(config_of(read_spec(StudyFolder(path)))), end="")
        return 0
    if options.study is None or (not (path / "spec.json").exists() and studies_in(path)):
        if options.follow:
            raise InputError(f"--follow looks on at one study; name one of those in {path}")
        return _print_studies(path)
    from tuning.status_view import show  # Optuna and Arrow, which take a while

    show(StudyFolder(path), follow=options.follow)
    return 0


def _print_studies(place: AnyPath) -> int:
    rows, console = list_studies(place), Terminal()
    if not rows:
        console.print(f"no studies in {place}; python -m tuning.search makes one")
        return 0
    spare, prose = ("data", "arms", "note", "verdict"), ("verdict", "note", "unreadable")
    console.print(fitting_table(console, rows, spare, prose=prose))
    return 0


if __name__ == "__main__":
    run(main)
