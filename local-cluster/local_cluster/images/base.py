"""The base of the Python images: Debian's Python 3, a shell, and the libraries that wheels link; nothing else."""

from pathlib import Path

from local_cluster.images import debian
from local_cluster.images.recipe import Recipe, source
from local_cluster.report import Stopwatch

PACKAGES = ["python3-minimal", "libpython3-stdlib", "media-types", "dash", "coreutils", "util-linux"]
# What wheels link: torch the C++ library, vLLM libnuma. (vLLM also runs lscpu, of util-linux.)
PACKAGES += ["libstdc++6", "libnuma1"]
USERS = """\
root:x:0:0:root:/root:/bin/sh
vllm:x:2000:0:vLLM:/tmp:/bin/sh
nonroot:x:65532:65532:nonroot:/tmp:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/bin/false
"""
GROUPS = "root:x:0:\nnonroot:x:65532:\nnogroup:x:65534:\n"
UNUSED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "usr/share/lintian")


def fill(tree: Path, watch: Stopwatch, *more: str) -> None:
    """Unpack Debian's packages and write the few files that their maintainer scripts would have made."""
    names = debian.unpack([*PACKAGES, *more], tree)
    watch.say(f"base: {len(names)} Debian packages unpacked")
    for folder in UNUSED:
        debian.run(["rm", "-rf", str(tree / folder)])
    (tree / "usr/bin/python").symlink_to("python3")
    (tree / "etc/passwd").write_text(USERS)
    (tree / "etc/group").write_text(GROUPS)
    (tree / "etc/nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")


RECIPE = Recipe(
    name="python-base",
    inputs=(source(__file__), source(debian.__file__)),
    fill=fill,
    seconds=10,
    settings={"Env": ["PATH=/usr/local/bin:/usr/bin:/bin"], "Cmd": ["python3"]},
)
