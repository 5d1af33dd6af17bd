"""On PYTHONPATH, keeps a Python process from connecting to anything but this machine."""

import os
import socket
from pathlib import Path


class _Socket(socket.socket):
    def connect(self, address):
        _check(self.family, address)
        super().connect(address)

    def connect_ex(self, address):
        _check(self.family, address)
        return super().connect_ex(address)


def _check(family, address):
    if family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1"):
        with Path(os.environ["REFUSED"]).open("a") as refused:
            refused.write(f"{address}\n")
        raise ConnectionRefusedError(f"a test tried to reach {address}")


socket.socket = _Socket
