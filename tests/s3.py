"""S3 on loopback: moto as a process of its own, and what it was asked."""

import contextlib
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

# Moto's own server, on the loopback address only.
_SERVE = "import sys; from moto.server import main; main(['-H', '127.0.0.1', '-p', sys.argv[1]])"
_SIGNED = (
    "AWS4-HMAC-SHA256 Credential=nobody/20260101/us-east-1/s3/aws4_request, "
    "SignedHeaders=host, Signature=0"
)
_REQUEST = re.compile(r'"(?:\x1b\[[\d;]*m)*(GET|HEAD|PUT|POST|DELETE) (/\S*)')


class S3:
    """A running moto, with the environment that leads every process to it."""

    def __init__(self, url: str, log: Path) -> None:
        self.url = url
        self._log = log
        self.environment = {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "nobody",
            "AWS_SECRET_ACCESS_KEY": "nothing",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",  # nothing but loopback is asked
        }

    def make_bucket(self, name: str) -> None:
        self.ask("PUT", f"/{name}")

    def ask(self, method: str, path: str, content: bytes | None = None) -> bytes:
        """One request without a library, signed by nobody."""
        request = urllib.request.Request(self.url + path, content, method=method)
        request.add_header("Authorization", _SIGNED)
        request.add_header("Content-Type", "application/octet-stream")
        with urllib.request.urlopen(request) as answer:
            return answer.read()

    def put_folder(self, folder: Path, to: str) -> None:
        """Every file of a folder below `bucket/prefix`."""
        for path in folder.rglob("*"):
            if path.is_file():
                name = path.relative_to(folder).as_posix()
                self.ask("PUT", f"/{to}/{name}", path.read_bytes())

    def requests(self) -> list[tuple[str, str]]:
        """Method and path of each request so far."""
        return [(method, path) for method, path in _REQUEST.findall(self._log.read_text())]

    @contextlib.contextmanager
    def counted(self) -> Iterator[Counter[str]]:
        """Requests by their method while the block runs, known at its end."""
        counts: Counter[str] = Counter()
        before = len(self.requests())
        yield counts
        time.sleep(0.2)  # the log comes after the answer
        counts.update(method for method, _ in self.requests()[before:])


@contextlib.contextmanager
def serve_s3(log: Path) -> Iterator[S3]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", _SERVE, str(port)], stdout=file, stderr=subprocess.STDOUT
        )
    try:
        s3 = S3(f"http://127.0.0.1:{port}", log)
        for _ in range(300):
            with contextlib.suppress(OSError):
                s3.ask("GET", "/moto-api/data.json")
                break
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
        yield s3
    finally:
        process.terminate()
        process.wait()
