"""What subgroups show, in sentences: for the verdict, and for TRIPOD+AI's item 23a."""

import pandas as pd

from ablations.differences import ALPHA
from ablations.formats import p_text
from ablations.rows import Study
from ablations.subgroups.gaps import gaps
from ablations.subgroups.images import LEAST, Division, divisions

NOTE = (
    f"Groups with fewer than {LEAST} images of a class are not judged; what is not known of an "
    "image is a group of its own, held against no other. A gap is the difference in AUC to the "
    "reference in one group minus that in the other (of more than two groups: in the others, by "
    "their number of images), for other images of each group, and other seeds. p Holm is for all "
    "gaps of this report; intervals are each for itself."
)


def subgroup_lines(study: Study) -> list[str]:
    """A sentence for each gap that is found, and one for each grouping without any.

    Returns:
        None of them without `--by`.
    """
    table = gaps(study)
    lines = []
    for division in divisions(study):
        by = str(division.grouping)
        tests = table[table["by"] == by]
        found = tests[tests["p_holm"] < ALPHA]
        lines += [_found(row) for row in found.to_dict("records")]
        if found.empty:
            lines.append(_nothing(division, tests))
    return lines


def _found(row: dict) -> str:
    return (
        f"By {row['by']}, {row['group']} against {row['minus']}: {row['arm']} minus "
        f"{row['reference']} differs, {row['delta_auc']:+.3f} AUC against "
        f"{row['minus_delta_auc']:+.3f}, a gap of {row['gap']:+.3f} [{row['gap_low']:.3f}, "
        f"{row['gap_high']:.3f}], {p_text(row['p_holm'], 'p')}."
    )


def _nothing(division: Division, tests: pd.DataFrame) -> str:
    by = division.grouping
    if not division.compared:
        return (
            f"By {by}: nothing is compared, as fewer than two groups of known images have {LEAST} "
            "images of each class."
        )
    if tests.empty:
        return f"By {by}: nothing is compared, as no arm stands beside its reference."
    least = tests["detectable"].min()
    found = (
        f"of the surest arm a true {least:.3f} AUC is found four times in five"
        if least < 1
        else "no gap would be found"
    )
    counted = f"{len(tests)} test{'s' * (len(tests) > 1)}"
    return (
        f"By {by}: no difference between arms is told apart between groups ({counted}, smallest "
        f"{p_text(tests['p_holm'].min(), 'p Holm')}); {found}."
    )


def subgroup_report(study: Study) -> str:
    """What a paper says of subgroups: which, of what size, how compared, with what result."""
    divided = divisions(study)
    if not divided:
        return "Subgroups were not examined."
    sizes = "; ".join(
        f"by {division.grouping}, "
        + ", ".join(
            f"{group.name} ({group.images} images, {group.melanomas} melanoma"
            + ("" if group.large_enough else ", too few to judge")
            + ")"
            for group in division.groups
        )
        for division in divided
    )
    return " ".join(
        [
            f"Subgroups of the test images: {sizes}. Figures of each stand in subgroups.csv.",
            "Whether differences between arms differ between groups was tested as the interaction "
            f"of arm and group. {NOTE}",
            *subgroup_lines(study),
        ]
    )
