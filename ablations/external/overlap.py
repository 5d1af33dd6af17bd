"""Which images of an external set also stand among those that a study learned from."""

import dataclasses
from collections.abc import Collection
from typing import NamedTuple

import numpy as np

from ablations.external.images import ExternalSet, decoded
from masll.common.errors import InputError
from masll.common.progress import progress_bar
from masll.data.duplicates import SIDE, find_duplicates
from masll.data.options import DataOptions, data_options, source_options
from masll.data.prepare import prepare
from masll.data.split import Pixels
from tuning.study.spec import Spec

_LEARNED_FROM = ("train", "validation")  # the validation images chose epochs and settings


class Shown(NamedTuple):
    """An image of a study that an external image shows, too."""

    image_id: str
    identical: bool  # byte by byte
    similarity: float  # see `masll.data.duplicates.Pair`


def study_options(spec: Spec, moved_to: str | None = None) -> DataOptions:
    """Where the images are that a study began with.

    Args:
        moved_to: where they lie now, if that is another place.

    Raises:
        InputError: neither says so.
    """
    data = moved_to or spec.options.get("data")
    if data is None:
        raise InputError(
            "nothing says which images the models have seen; name them with --study-data PATH, or "
            "say --duplicates unchecked"
        )
    asked = dataclasses.replace(source_options(spec.options), data=str(data))
    return data_options(asked, partial=bool(spec.options.get("partial", False)))


def shown_images(
    images: ExternalSet, options: DataOptions, spec: Spec, unseen: Collection[str] = ()
) -> dict[str, Shown]:
    """External images that show what training or validation images of the study show.

    By the digests of their content, and by registration: see `masll.data.duplicates`.

    Args:
        options: the study's images.
        spec: of the study; an empty one where there is none.
        unseen: ids of the study's images that no network has learned from.

    Returns:
        The most similar image of the study, by the external image's id.

    Raises:
        InputError: the study's images are not there, or are not those that it began with.
    """
    try:
        store = prepare(options, SIDE)
    except InputError as error:
        raise InputError(
            f"the images that the models have seen: {error}; name them with --study-data PATH, or "
            "say --duplicates unchecked"
        ) from error
    expected = spec.data.fingerprint
    if expected is not None and store.index["fingerprint"] != expected:
        raise InputError(
            f"{options.data} holds other images than the study began with; name those with "
            "--study-data PATH, or say --duplicates unchecked"
        )
    splits = [store.split(name) for name in _LEARNED_FROM]
    ids = [image_id for split in splits for image_id in split.ids]
    digests = [digest for name in _LEARNED_FROM for digest in store.listed(name)["digests"]]
    with (
        progress_bar("comparing with the study's images", unit="stages") as progress,
        decoded(images, SIDE, "squash") as (external, own_digests),
    ):
        pixels = Pixels([np.asarray(split.images) for split in (*splits, external)])
        pairs = find_duplicates(pixels, digests + own_digests, progress, since=len(ids))
    shown: dict[str, Shown] = {}
    for pair in sorted(pairs, key=lambda pair: -pair.similarity):
        if ids[pair.first] not in unseen:
            image_id = external.ids[pair.second - len(ids)]
            shown.setdefault(
                image_id, Shown(ids[pair.first], pair.identical, float(pair.similarity))
            )
    return shown
