"""`python -m masll`, and the script `masll`: what can be done with one network, and with images."""

import functools

from masll.common.command import commands, run

main = commands(
    "masll",
    "MASLL: one network, and the images that it learns from",
    {
        "train": "train one network",
        "predict": "probability of melanoma and box for image files",
        "audit": "whether the localizer finds the lesion",
        "data": "prepare, verify, audit and synthesize data sets",
    },
)
command = functools.partial(run, main)

if __name__ == "__main__":
    command()
