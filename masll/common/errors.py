"""The one exception for input that a person can put right, and disks that take no more."""

import errno

# Full, over the user's quota, read-only: nothing that trying again would mend.
DISK_TAKES_NO_MORE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


class InputError(ValueError):
    """Bad input: a missing folder, a malformed row, an unknown name.

    The message is one line that names the thing, its value and what to do. Commands print it
    and end with status 2 (see :func:`masll.common.command.run`).
    """
