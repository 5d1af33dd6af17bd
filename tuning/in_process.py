"""The debug engine: one trial after another in this process, so that a debugger can stop in it.

No Ray, no workers. What a trial raises ends the run with its traceback; `--resume` goes on.
"""

import itertools
import platform
import time

import torch

from masll.data.store import ImageStore
from masll.devices import keep_freed_memory
from tuning.images import StudyImages
from tuning.job import Job
from tuning.ledger import Ledger, Outcome
from tuning.options import SearchOptions
from tuning.slots import Slots, this_machine
from tuning.trial_report import Node
from tuning.trial_run import TrialRun


def one_slot(options: SearchOptions) -> Slots:
    """All of this machine's cores, and its first GPU where there is one and may be used."""
    machine = this_machine()
    gpus = machine.gpus if options.num_gpus is None else options.num_gpus
    return Slots(1, machine.cpus, float(gpus > 0))


def run(ledger: Ledger, job: Job, store: ImageStore, images: StudyImages) -> Outcome:
    """Train until the plan is done, or until Ctrl-C; rows of what has finished are on disk."""
    torch.set_num_threads(job.threads)
    keep_freed_memory()
    ledger.on_slots(1, 1)
    started = time.monotonic()
    node = Node(platform.node())
    try:
        for name in map(str, itertools.count()):
            assignment = ledger.next(name)
            if assignment is None:
                break
            trial_run = TrialRun(job, assignment.trial, store, images, node, assignment.gpus)
            while True:
                report = trial_run.step()
                if ledger.report(name, report) or report.done:
                    break
            trial_run.close()
            ledger.finish(name)
    except KeyboardInterrupt:
        pass
    busy = min(1.0, ledger.busy_seconds / (time.monotonic() - started))
    return Outcome(busy, unwritable=ledger.unwritable)
