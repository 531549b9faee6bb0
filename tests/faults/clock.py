"""A wall clock of the operator's own: Debian's libfaketime, which asks a file how wrong the time is."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local_cluster.images import debian


class Clock:
    """Right until it jumps; the monotonic clock goes on as it does on a host whose time is set."""

    def __init__(self, folder: Path) -> None:
        for archive in debian.download(["libfaketime"], folder):
            if archive.name.startswith("libfaketime_"):
                debian.run(["dpkg-deb", "--extract", str(archive), str(folder)])
        self.library = next(folder.rglob("libfaketimeMT.so.1"))
        self.file = folder / "offset"
        self.jump(0)

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to have this clock."""
        return {
            "LD_PRELOAD": str(self.library),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_RESET": "1",
        }

    @contextmanager
    def wrong(self, hours: int) -> Iterator[None]:
        """Wrong by so many hours for a while."""
        self.jump(hours)
        try:
            yield
        finally:
            self.jump(0)

    def jump(self, hours: int) -> None:
        """Be wrong by so many hours from now on."""
        new = self.file.with_suffix(".new")
        new.write_text(f"{hours:+d}h\n")
        new.replace(self.file)
