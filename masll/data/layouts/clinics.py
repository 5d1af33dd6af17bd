"""Data sets that clinics have published: HAM10000, PH2, Derm7pt and MED-NODE.

Files and counts after Tschandl et al., Scientific Data 5 (2018) and doi.org/10.7910/DVN/DBW86T
(HAM10000); Mendonca et al., EMBC 2013, and PH2_dataset.txt (PH2); Kawahara et al., JBHI 23 (2019)
and github.com/jeremykawahara/derm7pt (Derm7pt); Giotis et al., Expert Systems with Applications 42
(2015) and cs.rug.nl/~imaging/databases/melanoma_naevi (MED-NODE).
"""

import csv
import io

from masll.data.labelling import MELANOMA, Classes
from masll.data.layouts.isic import DIAGNOSES
from masll.data.layouts.layout import Layout, Part, Pattern, patterns


def plain_ham10000(text: str) -> str:
    """The table as the Dataverse gives it, with tabs, or as it was put up, with commas."""
    return text.replace("\t", ",") if "\t" in text.partition("\n")[0] else text


def plain_ph2(text: str) -> str:
    """The rows of PH2_dataset.txt, `|| IMD003 || ... || 0 || 0 | T | ... || 4 ||`, as CSV.

    The legends below them begin otherwise.
    """
    rows = (line.strip() for line in text.splitlines())
    cells = (row.replace("||", "|").strip("|").split("|") for row in rows if row.startswith("||"))
    table = io.StringIO(newline="")
    csv.writer(table).writerows([cell.strip() for cell in row] for row in cells)  # quotes commas
    return table.getvalue()


HAM10000 = Layout(
    name="ham10000",
    title="HAM10000",
    parts=(
        Part(
            tables=("HAM10000_metadata.csv", "HAM10000_metadata.tab", "HAM10000_metadata"),
            images=patterns(
                "HAM10000_images_part_1/{id}.jpg",
                "HAM10000_images_part_2/{id}.jpg",
                "HAM10000_images/{id}.jpg",
            ),
            masks=Pattern("HAM10000_segmentations_lesion_tschandl/{id}_segmentation.png"),
            official=(10015, 1113),
        ),
    ),
    ids=("image_id",),
    label=("dx",),
    classes=Classes(dict(DIAGNOSES)),
    groups=("lesion_id",),
    metadata={
        "age": ("age",),
        "sex": ("sex",),
        "site": ("localization",),
        "confirmed_by": ("dx_type",),
        "camera": ("dataset",),
    },
    plain=plain_ham10000,
)

PH2 = Layout(
    name="ph2",
    title="PH2",
    parts=(
        Part(
            tables=("PH2_dataset.txt",),
            images=patterns("PH2 Dataset images/{id}/{id}_Dermoscopic_Image/{id}.bmp"),
            masks=Pattern("PH2 Dataset images/{id}/{id}_lesion/{id}_lesion.bmp"),
            official=(200, 40),
        ),
    ),
    ids=("Name",),
    label=("Clinical Diagnosis",),
    classes=Classes(
        {
            "0": "common nevus",
            "1": "atypical nevus",
            "2": MELANOMA,
            "common nevus": "common nevus",
            "atypical nevus": "atypical nevus",
            MELANOMA: MELANOMA,
        }
    ),
    metadata={"histology": ("Histological Diagnosis",), "asymmetry": ("Asymmetry",)},
    plain=plain_ph2,
)

_NEVI = ("blue", "clark", "combined", "congenital", "dermal", "recurrent", "reed or spitz")
_OTHERS = (
    *("basal cell carcinoma", "dermatofibroma", "lentigo", "melanosis", "miscellaneous"),
    *("seborrheic keratosis", "vascular lesion"),
)

DERM7PT = Layout(
    name="derm7pt",
    title="Derm7pt (seven-point checklist)",
    parts=tuple(
        Part(
            tables=("meta/meta.csv",),
            rows=f"meta/{name}_indexes.csv",
            images=patterns("images/{path}"),
            split=split,
            official=official,
        )
        for name, split, official in (
            ("train", "train", (413, 90)),
            ("valid", "validation", (203, 61)),
            ("test", "test", (395, 101)),
        )
    ),
    ids=("derm",),
    label=("diagnosis",),
    classes=Classes(
        {f"{kind} nevus": "nevus" for kind in _NEVI} | {name: name for name in _OTHERS},
        containing={MELANOMA: MELANOMA},  # in situ, by thickness, metastasis
    ),
    metadata={
        "sex": ("sex",),
        "site": ("location",),
        "elevation": ("elevation",),
        "difficulty": ("level_of_diagnostic_difficulty",),
        "seven_point_score": ("seven_point_score",),
    },
    others=("clinic",),
    all_columns=True,
)

MED_NODE = Layout(
    name="med-node",
    title="MED-NODE",
    parts=(
        Part(
            tables=(),
            folders=("melanoma", "naevus"),
            images=patterns("melanoma/{id}.jpg", "naevus/{id}.jpg"),
            official=(170, 70),
        ),
    ),
    ids=("image",),
    label=("folder",),
    classes=Classes({MELANOMA: MELANOMA, "naevus": "nevus", "nevus": "nevus"}),
)
