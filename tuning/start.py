"""What a search runs on, started while another process looks at its networks."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import NamedTuple

from masll.common.errors import InputError
from masll.common.processes import interrupts_held, process_pool
from masll.common.terminal import Terminal
from tuning.checks import check_address, look_at_networks
from tuning.options import SearchOptions
from tuning.ray_switches import set_switches
from tuning.slots import this_machine
from tuning.study.arm import Arm
from tuning.study.spec import WeightsRecord


class Session(NamedTuple):
    """What a search runs on."""

    ray: Path | None  # folder of the session's files; None without Ray
    weights: dict[str, WeightsRecord]  # what each backbone starts from
    end: Callable[[], None]  # before the block does


@contextlib.contextmanager
def started(
    options: SearchOptions, arms: Sequence[Arm], console: Terminal, *, starts: bool
) -> Iterator[Session]:
    """Ray, where the search `starts` and uses it; and networks that are known to be well.

    Ray starts while another process looks at the networks, so that PyTorch, which takes seconds to
    import and half a gigabyte, stays out of this one.
    """
    set_switches()
    with contextlib.ExitStack() as stack:
        if options.in_process or not starts:
            console.say("importing PyTorch, to check the networks")
            yield Session(None, look_at_networks(options, arms, here=starts), stack.close)
            return
        check_address(options)
        console.say("starting Ray and its workers, and looking at the networks")
        try:
            with process_pool(1) as pool:
                with interrupts_held():
                    machine = pool.submit(this_machine)
                    weights = pool.submit(look_at_networks, options, arms)
                from tuning.session import ray_session  # Ray reads the switches as it is imported

                try:
                    folder = stack.enter_context(ray_session(options, machine.result()))
                except InputError:
                    if weights.done():
                        weights.result()  # what is wrong with the networks is told first
                    raise
                session = Session(folder, weights.result(), stack.close)
        except BrokenProcessPool as error:
            raise InputError(
                "the process that looks at the networks ended without a word, for want of memory "
                "perhaps; --in-process looks at them in this one"
            ) from error
        yield session
