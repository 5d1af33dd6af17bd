"""The ISIC challenges and exports of the ISIC archive.

Files and counts as on challenge.isic-archive.com, data of 2016 to 2020; Codella et al. 2018 (2017);
Tschandl et al. 2018 and Codella et al. 2019 (2018, task 3); Combalia et al. 2019 (BCN20000) and the
released ground truth of 2019's test set; Rotemberg et al. 2021 (2020). The archive's columns are
those of the metadata.csv that its gallery and `isic image download` write.
"""

from types import MappingProxyType

from masll.data.labelling import MELANOMA, UNKNOWN_CLASS, Classes
from masll.data.layouts.layout import Layout, OneHot, Part, Pattern, patterns

DIAGNOSES = MappingProxyType(
    {
        "mel": MELANOMA,
        "nv": "nevus",
        "bcc": "basal cell carcinoma",
        "ak": "actinic keratosis",
        "akiec": "actinic keratosis",
        "bkl": "benign keratosis",
        "df": "dermatofibroma",
        "vasc": "vascular lesion",
        "scc": "squamous cell carcinoma",
        "unk": "none of these",
    }
)
_AGE_SEX_SITE = MappingProxyType(
    {"age": ("age_approx",), "sex": ("sex",), "site": ("anatom_site_general",)}
)

ISIC2016 = Layout(
    name="isic2016",
    title="ISIC 2016, part 3",
    parts=tuple(
        Part(
            tables=(f"ISBI2016_ISIC_Part3_{part}_GroundTruth.csv",),
            images=patterns(f"ISBI2016_ISIC_Part3_{part}_Data/{{id}}.jpg"),
            split=split,
            masks=Pattern(f"ISBI2016_ISIC_Part1_{part}_GroundTruth/{{id}}_Segmentation.png"),
            header=("image_id", "label"),
            official=official,
        )
        for part, split, official in (
            ("Training", "train", (900, 173)),
            ("Test", "test", (379, 75)),
        )
    ),
    ids=("image_id",),
    label=("label",),
    # Words in the training table, numbers in the test table.
    classes=Classes({"malignant": MELANOMA, "benign": "benign", "1.0": MELANOMA, "0.0": "benign"}),
)

# Prefix of the official file names of each split.
PREFIXES_2017 = MappingProxyType(
    {
        "train": "ISIC-2017_Training",
        "validation": "ISIC-2017_Validation",
        "test": "ISIC-2017_Test_v2",
    }
)

ISIC2017 = Layout(
    name="isic2017",
    title="ISIC 2017, part 3",
    parts=tuple(
        Part(
            tables=(f"{PREFIXES_2017[split]}_Part3_GroundTruth.csv",),
            images=patterns(f"{PREFIXES_2017[split]}_Data/{{id}}.jpg"),
            split=split,
            masks=Pattern(f"{PREFIXES_2017[split]}_Part1_GroundTruth/{{id}}_segmentation.png"),
            further=(
                f"{PREFIXES_2017[split]}_Data_metadata.csv",
                f"{PREFIXES_2017[split]}_Data/{PREFIXES_2017[split]}_Data_metadata.csv",
            ),
            official=official,
        )
        for split, official in (
            ("train", (2000, 374)),
            ("validation", (150, 30)),
            ("test", (600, 117)),
        )
    ),
    ids=("image_id",),
    label=OneHot(("melanoma", "seborrheic_keratosis"), rest="nevus"),
    classes=Classes(
        {
            "melanoma": MELANOMA,
            "seborrheic_keratosis": "seborrheic keratosis",
            "seborrheic keratosis": "seborrheic keratosis",
            "nevus": "nevus",
        }
    ),
    metadata={"age": ("age_approximate",), "sex": ("sex",)},
)

ISIC2018 = Layout(
    name="isic2018",
    title="ISIC 2018, task 3",
    parts=tuple(
        Part(
            tables=(
                f"ISIC2018_Task3_{part}_GroundTruth/ISIC2018_Task3_{part}_GroundTruth.csv",
                f"ISIC2018_Task3_{part}_GroundTruth.csv",
            ),
            images=patterns(f"ISIC2018_Task3_{part}_Input/{{id}}.jpg"),
            split=split,
            further=(f"ISIC2018_Task3_{part}_LesionGroupings.csv",),
            official=official,
        )
        for part, split, official in (
            ("Training", "train", (10015, 1113)),
            ("Validation", "validation", (193, 21)),
            ("Test", "test", (1512, 171)),
        )
    ),
    ids=("image",),
    label=OneHot(("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")),
    classes=Classes(dict(DIAGNOSES)),
    groups=("lesion_id",),
    metadata={"confirmed_by": ("diagnosis_confirm_type",)},
)

ISIC2019 = Layout(
    name="isic2019",
    title="ISIC 2019",
    parts=tuple(
        Part(
            tables=(f"ISIC_2019_{part}_GroundTruth.csv",),
            images=patterns(
                f"ISIC_2019_{part}_Input/{{id}}.jpg",
                f"ISIC_2019_{part}_Input/ISIC_2019_{part}_Input/{{id}}.jpg",
            ),
            split=split,
            further=(f"ISIC_2019_{part}_Metadata.csv",),
            official=official,
        )
        for part, split, official in (
            ("Training", "train", (25331, 4522)),
            ("Test", "test", (8238, 1327)),
        )
    ),
    ids=("image",),
    label=OneHot(("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK")),
    classes=Classes(dict(DIAGNOSES)),
    groups=("lesion_id",),
    metadata={**_AGE_SEX_SITE},
)

ISIC2020 = Layout(
    name="isic2020",
    title="ISIC 2020 (SIIM-ISIC)",
    parts=(
        Part(
            tables=("ISIC_2020_Training_GroundTruth_v2.csv", "ISIC_2020_Training_GroundTruth.csv"),
            images=patterns(
                "ISIC_2020_Training_JPEG/train/{id}.jpg",
                "train/{id}.jpg",
                "ISIC_2020_Training_JPEG/{id}.jpg",
            ),
            split="train",
            official=(33126, 584),
        ),
        Part(
            tables=("ISIC_2020_Test_Metadata.csv",),
            images=patterns(
                "ISIC_2020_Test_JPEG/ISIC_2020_Test_Input/{id}.jpg",
                "ISIC_2020_Test_Input/{id}.jpg",
                "ISIC_2020_Test_JPEG/{id}.jpg",
            ),
            split="test",
            labelled=False,
        ),
    ),
    ids=("image_name", "image"),
    label=("benign_malignant",),
    classes=Classes({"malignant": MELANOMA, "benign": "benign"}),  # all malignant ones: melanoma
    groups=("patient_id", "patient", "lesion_id"),
    metadata={
        "age": ("age_approx",),
        "sex": ("sex",),
        "site": ("anatom_site_general_challenge", "anatom_site_general"),
        "diagnosis": ("diagnosis",),
    },
)

ARCHIVE = Layout(
    name="isic-archive",
    title="export of the ISIC archive",
    parts=(
        Part(
            tables=("metadata.csv",),
            images=patterns("{id}.jpg", "{id}.JPG", "{id}.png", "images/{id}.jpg"),
        ),
    ),
    ids=("isic_id",),
    # From the finest that tells melanoma to the coarsest; exports before 2025 have `diagnosis`.
    label=("diagnosis_3", "diagnosis_2", "diagnosis", "diagnosis_1", "benign_malignant"),
    classes=Classes(
        dict.fromkeys(("malignant", "unknown"), UNKNOWN_CLASS),
        containing={MELANOMA: MELANOMA},  # melanoma in situ, Melanoma Invasive, Melanoma, NOS, ...
        open_where=("indeterminate",),  # ... epidermal proliferations, say, whatever is finer
        closed=False,
    ),
    groups=("patient_id", "lesion_id"),
    metadata={
        **_AGE_SEX_SITE,
        "skin_type": ("fitzpatrick_skin_type",),
        "image_type": ("dermoscopic_type", "image_type"),
        "attribution": ("attribution",),
    },
    all_columns=True,
)
