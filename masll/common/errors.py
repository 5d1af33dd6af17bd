"""The one exception for input that a person can put right."""


class InputError(ValueError):
    """Bad input: a missing folder, a malformed row, an unknown name.

    The message is one line that names the thing, its value and what to do. Commands print it
    and end with status 2 (see :func:`masll.common.command.run`).
    """
