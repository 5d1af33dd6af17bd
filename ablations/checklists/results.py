"""What a study found, on what terms, and what is left of it: Markdown for items of a checklist."""

import numpy as np
import pandas as pd

from ablations.brief import asked, headline
from ablations.checklists.images import UNKNOWN, counted, is_drawn
from ablations.checklists.methods import commit
from ablations.differences import test_scores
from ablations.formats import bullets, markdown, mean_and_sd, number, p_text, with_interval
from ablations.remarks import cautions, declared, recipe, references, reopened
from ablations.rows import Study
from ablations.subgroups.words import subgroup_report
from ablations.verdict import answers, verdict
from tuning.study.folder import ExternalFolder, StudyFolder

NOT_YET = "No confirmed model yet, so there is no performance to report."
_EXTERNAL_REPORTS = ("external.md", "ablation.csv", "ablation.tex")


def objectives(study: Study) -> str:
    """What the study was to answer, as its spec says it."""
    primary = study.spec.primary
    named = (
        f"The primary question was named in spec.json when the study began: what {primary} adds."
        if primary
        else f"The primary question: {UNKNOWN}."
    )
    return (
        "Networks that tell melanoma in an image are developed and evaluated, to measure what each "
        f"part of one of them adds. {named} Arms: {', '.join(study.arms)}."
    )


def performance(study: Study, table: pd.DataFrame, margin: float) -> str:
    """Figures of every arm with intervals, what they say, and subgroups.

    Args:
        table: see `ablation_table`.
    """
    test = study.test_predictions
    if test.empty:
        return NOT_YET
    images = test.drop_duplicates("image_id")
    rows = [
        {
            "arm": row["arm"],
            "seeds": str(row["seeds"]),
            "AUC (95 % interval)": with_interval(
                number(row["auc_mean"], ".3f"), row["auc_low"], row["auc_high"]
            ),
            "difference (95 % interval)": with_interval(
                number(row["delta_auc"], "+.3f"), row["delta_low"], row["delta_high"]
            ),
            "p Holm": p_text(row["p_holm"]),
            "SEN": mean_and_sd(row["sen"], row["sen_sd"]),
            "SPE": mean_and_sd(row["spe"], row["spe_sd"]),
        }
        for row in table.to_dict("records")
    ]
    return "\n\n".join(
        [
            f"On {len(images)} test images, {int((images['label'] == 1).sum())} melanoma; "
            f"difference to {references(study)}; SEN and SPE at a probability of 0.5, "
            "mean ± standard deviation over seeds.",
            *declared(study),
            markdown(rows).rstrip(),
            bullets(verdict(study, table, margin)),
            *reopened(study),
            subgroup_report(study),
        ]
    )


def clusters(study: Study) -> str:
    """What was done about images that belong together."""
    examined = (
        f"Subgroups of the test images ({', '.join(study.by)}) are in item 23a."
        if study.by
        else "Differences between clusters, such as centres, were not examined in this report."
    )
    return f"Images count as independent. {examined}"


def fairness(study: Study) -> str:
    """What was done about groups of people."""
    examined = (
        f"How arms do in subgroups of the test images ({', '.join(study.by)}) is in item 23a."
        if study.by
        else "Subgroups were not examined."
    )
    return (
        "Nothing known of a person took part in training, in the search or in the choice of a "
        f"model. {examined}"
    )


def development_and_evaluation(study: Study) -> str:
    """How training and test images differ, as far as the files say."""
    return f"{one_source(study)} The image is the only predictor in all of them. {counted(study)}"


def one_source(study: Study) -> str:
    """Where all images were read from, which says nothing of where they were taken."""
    source = study.spec.data.source
    if source is None:
        return f"Source of the images: {UNKNOWN}."
    return f"Training, validation and test images were read from one source, {source}."


def interpretation(study: Study, table: pd.DataFrame, margin: float) -> str:
    """Which parts help and which do not, in a line or two.

    Args:
        table: see `ablation_table`.
    """
    if study.test_predictions.empty:
        return ""
    lines = headline(asked(answers(study, table, margin)))
    return f"{' '.join(lines)} Item 23a has the figures." if lines else ""


def limitations(study: Study) -> str:
    """What the report itself warns of."""
    lines = [*cautions(study), *recipe(study)]
    if not study.test_predictions.empty:
        lines += [
            "Intervals and tests take the hyperparameters that one search chose as given.",
            "Images count as independent, also where one patient has several.",
        ]
    if is_drawn(study):
        lines.append("Lesions are drawn: the figures say nothing of patients.")
    if not external_sets(study):
        lines.append("No external set of images is evaluated in the study's folder.")
    return bullets(lines)


def failures(study: Study) -> str:
    """Test images that every arm calls wrong at 0.5; empty without confirmed models."""
    if study.test_predictions.empty:
        return ""
    labels, scores = test_scores(study)
    if not scores:
        return ""
    calls = np.stack([rows.mean(axis=0) >= 0.5 for rows in scores.values()])  # (arms, n)
    wrong = (calls != (labels == 1)).all(axis=0)  # (n,)
    ill, well = int((wrong & (labels == 1)).sum()), int((wrong & (labels != 1)).sum())
    return (
        f"At a probability of 0.5 (mean over seeds), {ill} of {int((labels == 1).sum())} melanomas "
        f"are missed, and {well} of {int((labels != 1).sum())} other images called melanoma, by "
        f"all {len(scores)} arms alike."
    )


def robustness(study: Study) -> str:
    """What was changed without training anew; empty where nothing was."""
    columns = study.test_predictions
    done = {
        "the gate held at its channel means": "score_frozen_gate",
        "the local branch looking elsewhere than at the localizer's box": "score_box_whole",
    }
    found = [what for what, name in done.items() if name in columns and columns[name].notna().any()]
    if not found:
        return ""
    return (
        "Each confirmed model was evaluated again, without training, with "
        f"{' and with '.join(found)} (tables of the report)."
    )


def external_sets(study: Study) -> list[ExternalFolder]:
    """Other images that models were evaluated on: sets whose predictions the study's folder has."""
    place = StudyFolder(study.path).externals
    if not place.is_dir():
        return []
    # On S3 the content is all objects below, so that the first part of a name is the set's.
    below = (str(each).removeprefix(f"{place}/") for each in place.content())
    names = {name.partition("/")[0] for name in below}
    sets = [study.folder.external(name) for name in sorted(names)]
    return [each for each in sets if each.rows().is_dir() and any(each.rows().content())]


def external(study: Study) -> str:
    """Where external evaluations stand, and which have a report; empty where there are none."""
    sets = [
        f"external/{each.path.name}/ {'with' if _is_reported(each) else 'without'} a report"
        for each in external_sets(study)
    ]
    if not sets:
        return ""
    return (
        f"The models' predictions on external sets stand in the study's folder: {', '.join(sets)}."
    )


def _is_reported(found: ExternalFolder) -> bool:
    """Whether there is a table of the arms on an external set, in whichever form."""
    return any((found.report / name).exists() for name in _EXTERNAL_REPORTS)


def protocol(study: Study) -> str:
    """What was fixed in writing, and when."""
    begun = study.spec.created_at
    if not begun:
        return f"When the study began, and what was asked of it: {UNKNOWN}."
    openings = (
        " test-set.jsonl has a line for each time that a trial opened the test set."
        if study.folder.openings.exists()
        else ""
    )
    return (
        f"spec.json holds what was asked when the study began, on {begun}: arms, search space and "
        "images. It holds the budget, trials of an arm and seeds, as last raised: a study that "
        f"goes on may raise both.{openings}"
    )


def data_availability(study: Study) -> str:
    """How a reader can tell that images are those of the study; empty where nothing is known."""
    data = study.spec.data
    if not data.fingerprint:
        return ""
    return (
        f"Source: {data.source}. Images at hand are those of the study where the SHA-256 of ids, "
        f"labels, splits and content is {data.fingerprint}. Predictions, epochs and trials stand "
        "as Parquet files in the study's folder."
    )


def code_availability(study: Study) -> str:
    """Which code made the study."""
    return f"The analysis is that of MASLL Lab. {commit(study)}"


def specification(study: Study) -> str:
    """Where the models themselves are; empty where the folder has none."""
    if not study.folder.models.is_dir():
        return ""
    return (
        "Weights and configuration of each confirmed model stand in models/ARM/seed-N of the "
        "study's folder (model.safetensors, config.json); masll.load_model reads them."
    )
