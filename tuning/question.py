"""What a study is asked, a new one or one that goes on, and all that it takes to answer."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from masll.data.store import ImageStore
from tuning.checks import check_masks, check_same_images, check_same_weights
from tuning.images import StudyImages, choose_images, read_images
from tuning.options import SearchOptions
from tuning.plan import StudyPlan
from tuning.restore import load_plan
from tuning.specification import make_spec
from tuning.study.arm import Arm
from tuning.study.folder import StudyFolder
from tuning.study.space import Space
from tuning.study.spec import Spec, WeightsRecord


@dataclass(frozen=True)
class Question:
    """What a study is asked, and all that it takes to answer."""

    folder: StudyFolder
    options: SearchOptions
    spec: Spec
    store: ImageStore
    images: StudyImages

    def plan(self, *, confirm_again: bool = False, retry_failed: bool = False) -> StudyPlan:
        """What is left to do."""
        return load_plan(
            self.folder,
            self.options,
            self.spec,
            confirm_again=confirm_again,
            retry_failed=retry_failed,
        )


def new_question(
    folder: StudyFolder,
    options: SearchOptions,
    arms: tuple[Arm, ...],
    space: Space,
    store: ImageStore,
    weights: Mapping[str, WeightsRecord],
) -> Question:
    """A new study."""
    check_masks(arms, store)
    images = choose_images(options)
    images.check_classes(store)
    spec = make_spec(options, arms, space, store, images, weights)
    return Question(folder, options, spec, store, images)


def resumed_question(
    folder: StudyFolder,
    options: SearchOptions,
    spec: Spec,
    store: ImageStore,
    weights: Mapping[str, WeightsRecord],
) -> Question:
    """A study that goes on."""
    check_same_images(spec, options.data, store)
    check_same_weights(spec, weights)
    # A larger budget, where the images are now, and what an earlier version did not say.
    asked = {"trials": options.trials, "seeds": options.seeds, "set": options.set}
    asked |= {"data": options.data, "weights": options.weights}
    asked |= {"name": options.name, "note": options.note}
    asked |= dataclasses.asdict(options.selection)
    spec = dataclasses.replace(spec, options={**spec.options, **asked})
    images = read_images(folder, spec)
    images.check_classes(store)
    return Question(folder, options, spec, store, images)
