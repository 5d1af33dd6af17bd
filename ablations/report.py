"""`python -m ablations.report STUDY`: tables, figures and a page, written into STUDY/report/.

With more than one study, their arms side by side. The command line; `documents` does the work.
"""

import argparse
import contextlib
import functools
import os

from ablations.defaults import FORMATS, FORMATS_OF_COMPARISONS, MARGIN
from ablations.subgroups.grouping import parse_groupings
from masll.common.command import Parser, run
from masll.common.errors import InputError
from masll.common.outputs import check_output
from masll.common.storage import any_path

_EPILOG = """\
example:
  python -m ablations.report studies/paper
      writes tables (Markdown, CSV, LaTeX), figures, and a page to read them on
      (summary.html, and the notebook it was made from) to studies/paper/report/
  python -m ablations.report studies/paper --format csv --prevalence 0.02
  python -m ablations.report studies/paper --by sex age:50 site
      also every figure by subgroup of the test images, and whether arms differ
      between them: subgroups.csv, gaps.csv, a figure (docs/subgroups.md)
  python -m ablations.report studies/paper studies/longer --out compared/
      prints the arms of studies of the same data side by side, tests arms of one
      name against each other, and writes comparison.md, .csv and .tex and tests.csv
      and .tex to compared/; studies of other data are refused

exit status: 0 written, 2 bad input
"""


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(
        prog="python -m ablations.report",
        description="Write a study's tables, figures and page into STUDY/report/; print the first. "
        "Or compare several studies.",
        epilog=_EPILOG,
    )
    parser.add_argument(
        "studies",
        metavar="STUDY",
        nargs="+",
        help="folder that tuning.search has made, here or s3://bucket/study; of "
        "several studies, arms are put side by side",
    )
    parser.add_argument(
        "--format",
        nargs="+",
        choices=FORMATS,
        help=f"what to write (default: {' '.join(FORMATS)}; "
        f"of several studies {' '.join(FORMATS_OF_COMPARISONS)})",
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        help="folder to write into (default: STUDY/report; several studies are only printed)",
    )
    parser.add_argument(
        "--prevalence",
        type=_share,
        metavar="SHARE",
        help="of melanoma where the network would be used, for PPV and NPV "
        "(default: that of the test set)",
    )
    parser.add_argument(
        "--margin",
        type=_share,
        default=MARGIN,
        metavar="F",
        help="difference in AUC within which arms are equivalent "
        f"(two one-sided tests, default: {MARGIN})",
    )
    parser.add_argument(
        "--by",
        nargs="+",
        default=(),
        metavar="COLUMN",
        help="divide the test images by what is known of them: sex by its values, age:50 or "
        "age:30:50 by cuts (default: not at all)",
    )
    options = parser.parse_args(arguments)
    parse_groupings(options.by)
    if options.out is not None:
        options.out = any_path(options.out)
        check_output(options.out, "--out")
    if len(set(options.studies)) < len(options.studies):
        raise InputError(f"a study is named twice in {' '.join(options.studies)}; name each once")
    if "OMP_NUM_THREADS" not in os.environ:
        # NumPy's threads wait for each other longer than they work here: a report takes 3.7 s where
        # it took 5.9, on two cores. Read as NumPy is imported.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if len(options.studies) > 1:
        _check_comparison(options)
        from ablations.documents import compare_studies  # pandas and SciPy, which take a while

        compare_studies(options.studies, options.format, options.out, options.margin)
    else:
        from ablations.documents import report_study

        (study,) = options.studies
        formats = options.format or FORMATS
        how = (options.prevalence, options.out, options.margin, options.by)
        report_study(study, formats, *how)
    return 0


def _check_comparison(options: argparse.Namespace) -> None:
    """Raise `InputError` for options that belong to the report of one study."""
    if options.prevalence is not None:
        raise InputError("--prevalence belongs to the report of one study; leave it out")
    if options.by:
        raise InputError("--by belongs to the report of one study; leave it out")
    if options.format and options.out is None:
        raise InputError("--format needs --out DIR where several studies are compared; give both")


def _share(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < float(text) < 1:
            return float(text)
    raise argparse.ArgumentTypeError(f"must lie between 0 and 1, got '{text}'")


command = functools.partial(run, main)  # of the console script

if __name__ == "__main__":
    command()
