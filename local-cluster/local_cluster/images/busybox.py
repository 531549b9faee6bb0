"""The busybox image: a shell, wget, nslookup and their like in 2 MB, for Jobs and for looking around in the cluster."""

import subprocess
import tempfile
from pathlib import Path

from local_cluster.images import debian
from local_cluster.images.recipe import Recipe, source
from local_cluster.report import Stopwatch


def fill(tree: Path, _: Stopwatch) -> None:
    """Take the static program from Debian's package and link every applet to it."""
    with tempfile.TemporaryDirectory() as folder:
        debian.unpack(["busybox-static"], Path(folder))
        program = Path(folder) / "bin" / "busybox"
        (tree / "bin").mkdir()
        (tree / "bin" / "busybox").write_bytes(program.read_bytes())
    (tree / "bin" / "busybox").chmod(0o755)
    listed = subprocess.run([tree / "bin" / "busybox", "--list"], check=True, capture_output=True, text=True)
    for applet in listed.stdout.split():
        if applet != "busybox":
            (tree / "bin" / applet).symlink_to("busybox")
    (tree / "tmp").mkdir()
    (tree / "tmp").chmod(0o1777)
    (tree / "etc").mkdir()
    (tree / "etc" / "passwd").write_text("root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n")


RECIPE = Recipe(
    name="busybox",
    inputs=(source(__file__), source(debian.__file__)),
    fill=fill,
    seconds=5,
    settings={"Env": ["PATH=/bin"], "Cmd": ["sh"]},
)
