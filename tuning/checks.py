"""What would fail every trial, found before a study begins: folder, machine, networks, images."""

import dataclasses
import socket
from collections.abc import Mapping, Sequence

from masll.common.errors import InputError
from masll.common.outputs import check_output
from masll.data.split import check_masked
from masll.data.store import ImageStore
from masll.data.types import SPLITS
from masll.variants import PLAIN
from tuning.options import SearchOptions
from tuning.slots import find_slots, this_machine
from tuning.study.arm import Arm
from tuning.study.folder import StudyFolder
from tuning.study.lock import check_free
from tuning.study.spec import Spec, WeightsRecord


def check_new(folder: StudyFolder) -> None:
    """Raise `InputError` unless a new study can be made in a folder."""
    check_resumed(folder)
    check_output(folder.path, "--study")
    if any(not _precedes_spec(folder, path.name) for path in folder.path.content()):
        raise InputError(
            f"{folder} is not empty; add --resume to go on with the study in it, "
            "or name another folder"
        )


def _precedes_spec(folder: StudyFolder, name: str) -> bool:
    """Whether a run that was killed before it wrote the spec may have left a file: no study yet."""
    first = (
        *(folder.lock, folder.journal, folder.folds, folder.metadata),
        folder.part("x").parent,
    )
    return name in {path.name for path in first} or name.endswith(".partial")


def check_resumed(folder: StudyFolder) -> None:
    """Raise `InputError` unless a folder can be written to, and nobody searches in it."""
    folder.path.check_reachable()
    folder.path.check_writable("--study")
    check_free(folder)


def check_address(options: SearchOptions) -> None:
    """Raise `InputError` unless something listens at `--address`: Ray would try for minutes."""
    address = options.address
    if address in (None, "auto"):
        return
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, ValueError, OverflowError) as error:
        raise InputError(
            f"no Ray cluster at --address {address}: {error}; give host:port of its head, or auto "
            "on a machine of it"
        ) from error


def check_machine(options: SearchOptions) -> None:
    """Raise `InputError` unless there are slots, and GPUs that CUDA can use where they have any."""
    if options.address is None and find_slots(options, [this_machine()]).gpus:
        from masll.devices import check_cuda

        check_cuda()


def look_at_networks(
    options: SearchOptions, arms: Sequence[Arm], *, here: bool = True
) -> dict[str, WeightsRecord]:
    """What needs PyTorch before a study begins: are machine, networks and users' own parts well?

    Args:
        arms: whose own parts are to be made once.
        here: trials run on this machine, or from it, so that weights have to be here.

    Returns:
        What each backbone starts from, by name; nothing without pretrained weights.

    Raises:
        InputError: they are not.
    """
    from masll.backbones import start_of  # PyTorch, which this module's other checks do without

    if here:
        check_machine(options)
    _check_backbones(options, weights=here)
    _check_parts(arms, options)
    if not options.pretrained:
        return {}
    return {
        name: WeightsRecord(*start_of(name, options.weight_files.get(name)))
        for name in options.backbones
    }


def _check_backbones(options: SearchOptions, *, weights: bool) -> None:
    """Raise `InputError` unless there are backbones, and weights where they are needed."""
    from masll.backbones import feature_layout
    from masll.model import find_weights

    for backbone in options.backbones:
        feature_layout(backbone, options.image_size)
        model, _ = options.recipe.configs(Arm(PLAIN, backbone))
        if weights:
            find_weights(model)


def _check_parts(arms: Sequence[Arm], options: SearchOptions) -> None:
    """Raise `InputError` where a user's own part cannot be made, or has another interface."""
    from masll.model import build_model

    untrained = dataclasses.replace(options.recipe, pretrained=False)
    for arm in arms:
        network, _ = untrained.configs(arm)
        if network.parts:
            build_model(network)


def check_same_weights(spec: Spec, weights: Mapping[str, WeightsRecord]) -> None:
    """Raise `InputError` unless the backbones start from what the study began with."""
    for backbone, record in spec.weights.items():
        now = weights.get(backbone)
        if record.sha256 is not None and (now is None or now.sha256 != record.sha256):
            raise InputError(
                f"the weights of {backbone} are not those that the study began with "
                f"({record.source}); put them back, or start another study"
            )


def check_same_parts(folder: StudyFolder, spec: Spec, options: SearchOptions) -> None:
    """Raise `InputError` unless a study's own parts are named again, as it began with them."""
    now = options.parts
    for name, sha256 in spec.parts.items():
        if name not in now:
            raise InputError(
                f"the study has a part of its own, {name}; name its file again, or, if you trust "
                f"it, the study's copy: --variant-from {folder.part(name)}"
            )
        if now[name].sha256 != sha256:
            raise InputError(
                f"{now[name].path} is not what the study began with, {folder.part(name)}; put it "
                "back, or start another study"
            )
    for name in now.keys() - spec.parts.keys():
        raise InputError(f"--variant-from {now[name].path}: the study was not asked about {name}")


def check_masks(arms: Sequence[Arm], store: ImageStore) -> None:
    """Raise `InputError` where an arm looks at lesion masks and an image of any split has none."""
    if any(arm.fixed.get("box") == "mask" for arm in arms):
        for split in SPLITS:
            check_masked(store.split(split))


def check_same_images(spec: Spec, data: str, store: ImageStore) -> None:
    """Raise `InputError` unless the images in `data` are those that the study began with."""
    if store.index["fingerprint"] != spec.data.fingerprint:
        raise InputError(
            f"the images in '{data}' are not those the study began with (ids, labels, splits or "
            "content differ); name theirs with --data, or start another study"
        )
