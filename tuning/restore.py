"""A study's plan as its folder tells it: what earlier runs have finished or begun is taken in."""

from tuning.options import SearchOptions
from tuning.plan import ArmPlan, StudyPlan
from tuning.study.folder import StudyFolder
from tuning.study.metadata import read_metadata
from tuning.study.openings import check_openings
from tuning.study.reader import TrialReader
from tuning.study.spec import Spec
from tuning.study.trial import Status
from tuning.study.unfinished import UnfinishedTrials, check_begun


def load_plan(
    folder: StudyFolder,
    options: SearchOptions,
    spec: Spec,
    *,
    confirm_again: bool = False,
    retry_failed: bool = False,
    reader: TrialReader | None = None,
) -> StudyPlan:
    """The plan of a study, new or resumed.

    Args:
        confirm_again: allow each arm one confirmation more than it has had.
        retry_failed: let trials that ended as failed begin anew; their rows stay until they end.
        reader: of the study's trials, where some were read before.

    Raises:
        InputError: a file that cannot be read, or that contradicts another.
    """
    plan = StudyPlan(
        ArmPlan(
            arm,
            spec.space,
            trials=options.trials,
            epochs=options.epochs,
            seeds=options.seeds,
            seed=options.seed,
            sampler=options.sampler,
            scheduler=options.scheduler,
            selection=options.selection,
        )
        for arm in spec.arms
    )
    check_openings(folder)
    read_metadata(folder)  # for the report, but a damaged file is named at once
    reader = reader or TrialReader(folder, spec)
    results = reader.results()
    begun = check_begun(folder, spec, reader.rows())
    again = [r.trial for r in results if retry_failed and r.status == Status.FAILED]
    results = [result for result in results if result.trial not in again]
    for result in results:
        plan.arms[result.trial.arm].replay(result)
    for trial in again:
        plan.arms[trial.arm].resume(trial)
    ended = {trial.trial_id for trial in [*again, *(result.trial for result in results)]}
    for unfinished in begun:
        # A killed run may have written a trial's rows and not come to forget it.
        if unfinished.trial.trial_id not in ended:
            plan.arms[unfinished.trial.arm].resume(unfinished.trial)
    for of_arm in plan.arms.values():
        of_arm.confirmations = max(1, of_arm.opened + confirm_again)
    return plan


def forget_ended(folder: StudyFolder, plan: StudyPlan) -> None:
    """Remove what a killed run has left of trials whose rows it had written."""
    unfinished = UnfinishedTrials(folder)
    waiting = plan.waiting
    for each in unfinished.all():
        if each.trial.trial_id not in waiting:
            unfinished.remove(each.trial.trial_id)
    unfinished.remove_others()
    folder.remove_partials()
