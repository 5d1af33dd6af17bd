"""TRIPOD+AI, item by item: what a study's spec and rows answer, and what its authors have to add.

The checklist is that of Collins et al., "TRIPOD+AI statement", BMJ 385, e078378 (2024), for studies
that develop and evaluate a model. What the study does not know, such as why a measure was chosen in
a clinic's view, is left to the authors.
"""

import pandas as pd

from ablations.checklists import images, judging, methods, results
from ablations.checklists.checklist import RESULTS, SPEC, Checklist, Item, entries
from ablations.defaults import MARGIN
from ablations.rows import Study

HEADING = "TRIPOD+AI, item by item"
SOURCE = "Collins et al., TRIPOD+AI statement, BMJ 385, e078378 (2024)."

ITEMS = (
    Item(
        "1",
        "Title",
        "Title",
        "in the title, that a prediction model is developed and evaluated, for whom, and what it "
        "predicts",
    ),
    Item("2", "Abstract", "Abstract", "an abstract by the 13 items of TRIPOD+AI for abstracts"),
    Item(
        "3a",
        "Introduction",
        "Background: context",
        "the clinical setting, that the question is one of diagnosis, why the model is needed, and "
        "which models there are",
    ),
    Item(
        "3b",
        "Introduction",
        "Background: purpose",
        "for which people the model is meant, at which step of their care, and who would use it",
    ),
    Item(
        "3c",
        "Introduction",
        "Background: inequalities",
        "which differences in health or care between groups of people are known",
    ),
    Item("4", "Introduction", "Objectives", "the aim in the words of a clinic", SPEC),
    Item(
        "5a",
        "Methods",
        "Data: sources",
        "how the images came about (trial, cohort, routine, register), why these were taken, and "
        "how representative they are",
        SPEC,
    ),
    Item("5b", "Methods", "Data: dates", "when the first and the last image were taken"),
    Item(
        "6a",
        "Methods",
        "Participants: setting",
        "the setting, and how many centres there are where",
    ),
    Item("6b", "Methods", "Participants: eligibility", "who could take part, and who could not"),
    Item(
        "6c",
        "Methods",
        "Participants: treatments",
        "which treatments came before the image, or that this does not matter here",
    ),
    Item(
        "7",
        "Methods",
        "Data preparation",
        "what was done to the images before they came to this study, and how they were checked",
        SPEC,
    ),
    Item(
        "8a",
        "Methods",
        "Outcome: definition",
        "how and when the diagnosis was made, why it is the outcome, and whether it was made alike "
        "in all groups of people",
        SPEC,
    ),
    Item(
        "8b",
        "Methods",
        "Outcome: assessors",
        "who made the diagnosis where it needs judgement, with their training and who they are",
    ),
    Item(
        "8c", "Methods", "Outcome: blinding", "whether the diagnosis was made without what predicts"
    ),
    Item("9a", "Methods", "Predictors: choice"),
    Item(
        "9b",
        "Methods",
        "Predictors: definition",
        "with which camera or dermatoscope, how and when the images were taken, and who knew the "
        "diagnosis then",
    ),
    Item("9c", "Methods", "Predictors: assessors"),
    Item(
        "10",
        "Methods",
        "Sample size",
        "how the numbers of images came about, for development and for evaluation, and why they "
        "are enough",
        SPEC,
    ),
    Item(
        "11",
        "Methods",
        "Missing data",
        "what the data set itself had left out, and why",
        SPEC,
    ),
    Item("12a", "Methods", "Analytical methods: use of the data", "", SPEC),
    Item("12b", "Methods", "Analytical methods: handling of predictors"),
    Item("12c", "Methods", "Analytical methods: model building and tuning", "", SPEC),
    Item(
        "12d",
        "Methods",
        "Analytical methods: heterogeneity between clusters",
        "which centres or devices there are, if they are known, and what was done about them",
    ),
    Item(
        "12e",
        "Methods",
        "Analytical methods: performance measures",
        "why these measures matter to a clinic",
    ),
    Item("12f", "Methods", "Analytical methods: model updating"),
    Item("12g", "Methods", "Analytical methods: calculation of predictions"),
    Item("13", "Methods", "Class imbalance", "", SPEC),
    Item(
        "14",
        "Methods",
        "Fairness",
        "what fairness means for this use, and what else was done about it",
    ),
    Item("15", "Methods", "Model output", "why these thresholds, or which one a clinic would take"),
    Item(
        "16",
        "Methods",
        "Training versus evaluation",
        "how settings, people and the definition of the outcome differ between the two, if they do",
        SPEC,
    ),
    Item(
        "17",
        "Methods",
        "Ethical approval",
        "which committee approved the study, and how people consented or why they need not",
    ),
    Item("18a", "Open science", "Funding", "who paid, and what part the funders took"),
    Item("18b", "Open science", "Conflicts of interest", "the interests of every author"),
    Item(
        "18c",
        "Open science",
        "Protocol",
        "where a protocol can be read, or that there was none beside spec.json",
        SPEC,
    ),
    Item(
        "18d",
        "Open science",
        "Registration",
        "the register and the number, or that the study was not registered",
    ),
    Item(
        "18e", "Open science", "Data sharing", "where and on which terms others can have the images"
    ),
    Item("18f", "Open science", "Code sharing", "where the code of that commit can be had", SPEC),
    Item(
        "19",
        "Patient and public involvement",
        "Patient and public involvement",
        "how patients or the public took part, or that they did not",
    ),
    Item(
        "20a",
        "Results",
        "Participants: flow",
        "how many people there were, and who was left out before the images came to this study",
        SPEC,
    ),
    Item(
        "20b",
        "Results",
        "Participants: characteristics",
        "the characteristics of the training images, and of the people in each set",
    ),
    Item(
        "20c",
        "Results",
        "Participants: development against evaluation",
        "how age, sex and the like compare between training and test images",
        SPEC,
    ),
    Item("21", "Results", "Model development", "how many people these images are of", SPEC),
    Item(
        "22",
        "Results",
        "Model specification",
        "where others can have the models, and on which terms",
    ),
    Item("23a", "Results", "Model performance", "", RESULTS),
    Item("23b", "Results", "Model performance: heterogeneity between clusters"),
    Item("24", "Results", "Model updating"),
    Item(
        "25",
        "Discussion",
        "Interpretation",
        "what the results mean for the objectives, beside earlier studies, and for fairness",
    ),
    Item(
        "26",
        "Discussion",
        "Limitations",
        "whom the images do not represent, and what else limits the study",
        RESULTS,
    ),
    Item(
        "27a",
        "Discussion",
        "Usability: poor input",
        "what is to be done about images that are poor or cannot be had",
    ),
    Item(
        "27b",
        "Discussion",
        "Usability: users",
        "what users have to do, and what they have to know for it",
    ),
    Item("27c", "Discussion", "Usability: next steps", "what is to be studied next"),
)


def tripod(study: Study, table: pd.DataFrame, margin: float = MARGIN) -> Checklist:
    """Every item with its answer.

    Args:
        table: see `ablation_table`.
        margin: of equivalence, see `effects`.
    """
    updating = "No model was updated or recalibrated after its training."
    clusters = results.clusters(study)
    answers = {
        "4": results.objectives(study),
        "5a": images.sources(study),
        "7": images.preparation(study),
        "8a": images.outcome(study),
        "9a": images.predictors(study),
        "9b": "The predictor is the image as item 7 prepares it.",
        "9c": "A network reads the pixels; nobody measures or interprets a predictor.",
        "10": images.sample_size(study, table, margin),
        "11": images.missing(study),
        "12a": images.partitions(study),
        "12b": "Pixels enter as item 7 has them; the network itself makes features of them.",
        "12c": methods.tuning(study, table),
        "12d": clusters,
        "12e": f"{judging.measures(study)} {judging.comparisons(study)}",
        "12f": updating,
        "12g": judging.calculation(),
        "13": judging.imbalance(study),
        "14": results.fairness(study),
        "15": judging.output(),
        "16": results.development_and_evaluation(study),
        "18c": results.protocol(study),
        "18e": results.data_availability(study),
        "18f": results.code_availability(study),
        "20a": images.counted(study),
        "20b": images.characteristics(study),
        "20c": "How common melanoma is in each split is in item 20a.",
        "21": images.analyses(study),
        "22": results.specification(study),
        "23a": results.performance(study, table, margin),
        "23b": clusters,
        "24": updating,
        "25": results.interpretation(study, table, margin),
        "26": results.limitations(study),
    }
    return Checklist("tripod", HEADING, SOURCE, entries(ITEMS, answers, study))
