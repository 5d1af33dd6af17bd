"""CLAIM, item by item: what a study's spec and rows answer, and what its authors have to add.

The checklist is that of Tejani et al., "Checklist for Artificial Intelligence in Medical Imaging
(CLAIM): 2024 Update", Radiology: Artificial Intelligence 6(4), e240300 (2024).
"""

import pandas as pd

from ablations.checklists import images, judging, methods, results
from ablations.checklists.checklist import RESULTS, SPEC, Checklist, Item, entries
from ablations.defaults import MARGIN
from ablations.rows import Study

HEADING = "CLAIM 2024, item by item"
SOURCE = (
    "Tejani et al., CLAIM: 2024 Update, Radiology: Artificial Intelligence 6(4), e240300 (2024)."
)

ITEMS = (
    Item(
        "1",
        "Title and abstract",
        "Identification as a study of AI",
        "in title or abstract, that the study is of AI, and of deep learning",
    ),
    Item(
        "2", "Title and abstract", "Abstract", "design, methods, results and conclusions in short"
    ),
    Item(
        "3",
        "Introduction",
        "Background",
        "the scientific and clinical background, and what the model is meant for",
    ),
    Item(
        "4", "Introduction", "Aims and hypotheses", "the hypotheses in the words of a clinic", SPEC
    ),
    Item(
        "5",
        "Study design",
        "Prospective or retrospective",
        "whether images were collected before the study was planned, or for it",
    ),
    Item("6", "Study design", "Study goal", "", SPEC),
    Item(
        "7",
        "Data",
        "Data sources",
        "where and when the images were collected, and by whom",
        SPEC,
    ),
    Item("8", "Data", "Inclusion and exclusion criteria", "who and what was taken in and left out"),
    Item(
        "9",
        "Data",
        "Preprocessing",
        "what was done to the images before they came to this study",
        SPEC,
    ),
    Item("10", "Data", "Selection of data subsets", "", SPEC),
    Item("11", "Data", "De-identification", "how images and metadata were de-identified"),
    Item("12", "Data", "Missing data", "what the data set itself had left out, and why", SPEC),
    Item("13", "Data", "Image acquisition", "the cameras or dermatoscopes, and how they were used"),
    Item(
        "14",
        "Reference standard",
        "Definition",
        "how the diagnosis was made: histology, follow-up, or readers",
        SPEC,
    ),
    Item("15", "Reference standard", "Rationale", "why this is the reference standard"),
    Item("16", "Reference standard", "Source of annotations", "who annotated, with what training"),
    Item(
        "17", "Reference standard", "Annotation of the test set", "how the test set was annotated"
    ),
    Item(
        "18",
        "Reference standard",
        "Variability between and within raters",
        "how far annotators agree, or that it is not known",
    ),
    Item("19", "Data partitions", "Assignment to partitions", "", SPEC),
    Item(
        "20",
        "Data partitions",
        "Level at which partitions are disjoint",
        "whether a patient's images are all in one partition, if the data set tells patients apart",
        SPEC,
    ),
    Item(
        "21",
        "Testing data",
        "Intended sample size",
        "how the number of test images came about, and why it is enough",
        SPEC,
    ),
    Item("22", "Model", "Description of the model", "the layers of each backbone, by its paper"),
    Item("23", "Model", "Software", "", SPEC),
    Item("24", "Model", "Initialization of parameters", "", SPEC),
    Item("25", "Training", "Training approach", "", SPEC),
    Item("26", "Training", "Selection of the final model", "", SPEC),
    Item("27", "Training", "Ensembling", "", RESULTS),
    Item("28", "Evaluation", "Performance metrics", "why these matter to a clinic"),
    Item("29", "Evaluation", "Significance and uncertainty"),
    Item(
        "30",
        "Evaluation",
        "Robustness or sensitivity analysis",
        "how the models do on disturbed images (python -m ablations.external --corrupt), or that "
        "it was not examined",
    ),
    Item(
        "31",
        "Evaluation",
        "Explainability or interpretability",
        "whether activation maps are shown, and how they were checked (python -m masll.audit "
        "against lesion masks, with --sanity against untrained networks), or that none are",
    ),
    Item(
        "32",
        "Evaluation",
        "Evaluation on internal data",
        "whether training and test images come from the same places",
        SPEC,
    ),
    Item(
        "33",
        "Evaluation",
        "Testing on external data",
        "on which other images the models were tested, or that they were not",
    ),
    Item("34", "Evaluation", "Trial registration", "register and number, if it is a trial"),
    Item(
        "35",
        "Results: data",
        "Numbers included and excluded",
        "how many people there were, and who was left out before the images came to this study",
        SPEC,
    ),
    Item(
        "36",
        "Results: data",
        "Demographic and clinical characteristics",
        "the characteristics of the training images, and of the people in each partition",
    ),
    Item("37", "Results: model performance", "Performance with its uncertainty", "", RESULTS),
    Item("38", "Results: model performance", "Diagnostic performance", "", RESULTS),
    Item(
        "39",
        "Results: model performance",
        "Failure analysis",
        "what the images that are called wrong have in common",
        RESULTS,
    ),
    Item(
        "40",
        "Discussion",
        "Limitations",
        "whom the images do not represent, and what else limits the study",
        RESULTS,
    ),
    Item("41", "Discussion", "Implications for practice", "what follows for a clinic, if anything"),
    Item(
        "42",
        "Other information",
        "Protocol or further technical details",
        "where a protocol can be read, or that there was none beside spec.json",
        SPEC,
    ),
    Item(
        "43",
        "Other information",
        "Availability of software, models and data",
        "where and on which terms others can have code, models and images",
        SPEC,
    ),
    Item("44", "Other information", "Funding", "who paid, and what part the funders took"),
)


def claim(study: Study, table: pd.DataFrame, margin: float = MARGIN) -> Checklist:
    """Every item with its answer.

    Args:
        table: see `ablation_table`.
        margin: of equivalence, see `effects`.
    """
    available = [
        results.code_availability(study),
        results.specification(study),
        results.data_availability(study),
    ]
    diagnostic = (
        "Sensitivity and specificity at a probability of 0.5 are in item 37. At thresholds fixed "
        "on the validation images they are in operating_points.csv, with predictive values and "
        "intervals."
    )
    answers = {
        "4": results.objectives(study),
        "6": "Development and evaluation of networks, to measure what each part of one adds.",
        "7": images.sources(study),
        "9": images.preparation(study),
        "10": "All images of the splits were used, but for those of item 12. The only part of an "
        "image that is chosen is a network's own crop.",
        "12": images.missing(study),
        "14": images.outcome(study),
        "19": images.partitions(study),
        "20": images.disjoint(study),
        "21": images.sample_size(study, table, margin),
        "22": methods.networks(study),
        "23": methods.software(study),
        "24": methods.initial_weights(study),
        "25": f"{methods.training(study)}\n\n{methods.tuning(study, table)}",
        "26": methods.selection(study),
        "27": judging.ensembling(study),
        "28": judging.measures(study),
        "29": judging.comparisons(study),
        "30": results.robustness(study),
        "32": f"{results.one_source(study)} Item 19 has the partitions, item 37 the results.",
        "33": results.external(study),
        "35": images.analyses(study),
        "36": images.characteristics(study),
        "37": results.performance(study, table, margin),
        "38": "" if study.test_predictions.empty else diagnostic,
        "39": results.failures(study),
        "40": results.limitations(study),
        "42": results.protocol(study),
        "43": "\n\n".join(filter(None, available)),
    }
    return Checklist("claim", HEADING, SOURCE, entries(ITEMS, answers, study))
