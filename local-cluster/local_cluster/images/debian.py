"""Debian packages unpacked into a folder: a root file system in seconds, without root and without a chroot.

Maintainer scripts do not run, as in the distroless images: what they would have done and is needed is done here.
"""

import functools
import os
import subprocess
import tempfile
from pathlib import Path

from local_cluster import packages
from local_cluster.report import Failure

MERGED_USR = ("bin", "sbin", "lib", "lib64")
FOLDERS = {"etc": 0o755, "proc": 0o755, "sys": 0o755, "dev": 0o755, "run": 0o755, "var/lib/dpkg/status.d": 0o755}
# What docker and its like have in every image: anybody may write to /tmp.
FOLDERS |= {"tmp": 0o1777, "var/tmp": 0o1777, "root": 0o700}


@functools.cache
def architecture() -> str:
    """The name that Debian, Go and OCI images give to this machine's processor, for example amd64."""
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)


def unpack(names: list[str], tree: Path) -> list[str]:
    """Unpack packages and all they depend on, at the versions of this machine's package lists; returns their files."""
    for folder in MERGED_USR:
        (tree / "usr" / folder).mkdir(parents=True, exist_ok=True)
        (tree / folder).symlink_to(f"usr/{folder}")
    for name, mode in FOLDERS.items():
        (tree / name).mkdir(parents=True, exist_ok=True)
        (tree / name).chmod(mode)
    with tempfile.TemporaryDirectory() as folder:
        archives = download(names, Path(folder))
        for archive in archives:
            files = run(["dpkg-deb", "--fsys-tarfile", str(archive)])
            # dpkg-deb --extract would put folders in place of the links of a merged /usr.
            run(["tar", "--extract", "--keep-directory-symlink", "--no-same-owner", f"--directory={tree}"], files)
            name, _, _ = archive.name.partition("_")
            # Where image scanners look for the packages of an image without a package manager.
            (tree / "var/lib/dpkg/status.d" / name).write_bytes(run(["dpkg-deb", "--field", str(archive)]))
        return [archive.name for archive in archives]


def download(names: list[str], folder: Path) -> list[Path]:
    """Fetch packages and all they depend on, as if nothing were installed."""
    (folder / "partial").mkdir()
    options = {
        "Dir::State::status": "/dev/null",
        "Dir::Cache::archives": str(folder),
        "APT::Install-Recommends": "0",
        "APT::Sandbox::User": "",
        "Debug::NoLocking": "1",
    }
    command = ["apt-get", *(f"-o{name}={value}" for name, value in options.items())]
    command += ["--quiet=2", "--download-only", "--yes", "install", *names]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:  # the package lists may be missing or old
        packages.apt_get("update")
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise packages.install_failure(" ".join(names), done.stdout + done.stderr)
    return sorted(folder.glob("*.deb"))


def run(command: list[str], stdin: bytes = b"") -> bytes:
    """Run a program that reads or writes a package's files; returns its output."""
    done = subprocess.run(command, check=False, capture_output=True, input=stdin)
    if done.returncode != 0:
        error = done.stderr.decode(errors="replace").strip()
        raise Failure(f"`{' '.join(command)}` failed: {error}", "Is there space left on the disk?")
    return done.stdout
