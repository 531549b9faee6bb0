"""A crutch: a torch wheel that loads without CUDA, for machines that reach a package index but not that of CPU builds.

The default index has torch for x86-64 only with CUDA: 0.5 GB, and 2.7 GB of libraries beside it that a machine without
a GPU never uses, but that the dynamic linker wants to see. This makes a wheel of it whose CUDA half is replaced by
empty functions of the same names. All that runs on a CPU is torch's own code, unchanged. Whoever reaches the index of
CPU builds needs none of this: runtime-image/Dockerfile.cpu takes torch from there.
"""

import base64
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from local_cluster import checkout, packages
from local_cluster.images import python
from local_cluster.images.recipe import forget, kept, source
from local_cluster.report import Failure, Stopwatch

LOCK = checkout.ROOT / "requirements" / "torch-without-cuda.lock"
LABEL = "+cpu"
# What torch_python links and only CUDA has; the last two, which torch_cpu links too, are small and stay the real ones.
REPLACED = ("libtorch_cuda.so", "libcudnn.so.9", "libcufile.so.0", "libnccl.so.2")
FROM_NVIDIA = ("libcudart.so.13", "libcupti.so.13")
LEFT_OUT = (
    "torch/include/",
    "torch/bin/protoc",
    "torch/lib/libtorch_cuda",
    "torch/lib/libtorch_nvshmem.so",
    "torch/lib/libcaffe2_nvrtc.so",
)
# Called while torch is imported: the first returns a reference, the second makes an object with virtual functions.
STUBS = """\
extern char _ZTVN10__cxxabiv117__class_type_infoE[], _ZTIN4c10d7Backend7OptionsE[];
static char nothing[4096];
static void none(void) {}
static void *virtual[16] = {0, _ZTIN4c10d7Backend7OptionsE, none, none, none, none, none, none};
void *_ZN4c10d15get_gil_checkerEv(void) { return nothing; }
void _ZN4c10d16ProcessGroupNCCL7OptionsC1Eb(void **self) { *self = virtual + 2; }
"""


def wheel(watch: Stopwatch) -> Path:
    """The wheel, made when the cache does not have it."""
    return next((index(watch) / "torch").glob("*.whl"))


def index(watch: Stopwatch) -> Path:
    """A folder that is a package index (PEP 503) of this one wheel, made when the cache does not have it."""
    folder = checkout.cache() / "images" / f"torch-cpu-{key()}"
    with kept(folder) as empty:
        if empty:
            packages.require({"gcc": "gcc", "nm": "binutils"}, watch)
            watch.say("torch: downloading the CUDA build and taking CUDA out of it (0.5 GB, about 60 s) ...")
            with tempfile.TemporaryDirectory(dir=empty) as downloads, python.interpreter(watch) as interpreter:
                download(Path(downloads), interpreter.version)
                (empty / "torch").mkdir()
                made = without_cuda(Path(downloads), empty / "torch")
            link = f'<a href="{made.name.replace("+", "%2B")}">{made.name}</a>'
            (empty / "torch" / "index.html").write_text(f"<!DOCTYPE html>\n{link}\n")
            watch.say(f"torch: {made.name}, {made.stat().st_size / 1e6:.0f} MB")
            forget(folder.parent.glob("torch-cpu-*"))
    return folder


def key() -> str:
    """A hash of what goes into the wheel."""
    return hashlib.sha256(LOCK.read_bytes() + source(__file__).read_bytes()).hexdigest()[:16]


def download(folder: Path, version: str) -> None:
    """Fetch the wheels of the lock file for a version of Python."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-cache-dir"]
    command += ["--no-deps", "--only-binary=:all:", f"--python-version={version}", "--require-hashes"]
    python.run([*command, f"--requirement={LOCK}", f"--dest={folder}"], "Downloading torch failed")


def without_cuda(wheels: Path, destination: Path) -> Path:
    """Write the wheel again without CUDA's files, with the stubs, and under its own version."""
    torch = zipfile.ZipFile(next(wheels.glob("torch-*.whl")))
    old = next(name for name in torch.namelist() if name.endswith(".dist-info/METADATA")).partition("/")[0]
    new = old.removesuffix(".dist-info") + LABEL + ".dist-info"
    metadata = torch.read(f"{old}/METADATA").decode()
    version = old.removesuffix(".dist-info").partition("-")[2]
    tags = Path(str(torch.filename)).name.removesuffix(".whl").split("-", 2)[2]
    record: list[str] = []
    made = destination / f"torch-{version}{LABEL}-{tags}.whl"
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as target:

        def add(name: str, content: bytes, attributes: int = 0o644 << 16) -> None:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = attributes
            target.writestr(entry, content)
            sha256 = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            record.append(f"{name},sha256={sha256},{len(content)}")

        for entry in torch.infolist():
            if not entry.is_dir() and not entry.filename.startswith((*LEFT_OUT, f"{old}/")):
                add(entry.filename, torch.read(entry), entry.external_attr)
        for library in sorted([*from_nvidia(wheels), *stubs(torch, wheels)]):
            add(f"torch/lib/{library.name}", library.read_bytes(), 0o755 << 16)
        lines = "\n".join(line for line in metadata.splitlines() if not is_cuda(line))
        add(f"{new}/METADATA", lines.replace(f"Version: {version}", f"Version: {version}{LABEL}", 1).encode())
        for name in ("WHEEL", "entry_points.txt"):
            add(f"{new}/{name}", torch.read(f"{old}/{name}"))
        target.writestr(f"{new}/RECORD", "\n".join([*record, f"{new}/RECORD,,"]) + "\n")
    return made


def is_cuda(line: str) -> bool:
    """Whether a line of the metadata requires CUDA or Triton, which torch does only on Linux."""
    return line.startswith("Requires-Dist:") and 'platform_system == "Linux"' in line


def from_nvidia(wheels: Path) -> list[Path]:
    """The two small libraries of CUDA that stay, unpacked from their wheels."""
    found = []
    for archive in wheels.glob("nvidia_*.whl"):
        with zipfile.ZipFile(archive) as opened:
            for name in opened.namelist():
                if name.endswith(FROM_NVIDIA):
                    found.append(wheels / Path(name).name)
                    found[-1].write_bytes(opened.read(name))
    return found


def stubs(torch: zipfile.ZipFile, folder: Path) -> list[Path]:
    """Compile libraries that have the functions and types which torch_python wants from CUDA's."""
    libraries = [name for name in torch.namelist() if name.startswith("torch/lib/") and ".so" in name]
    torch.extractall(folder, libraries)
    kind: dict[str, str] = {}
    have: set[str] = set()
    for name in libraries:
        defined = symbols(folder / name, "--defined-only")
        if name.startswith(LEFT_OUT):
            kind |= defined
        else:
            have |= set(defined)
    wanted = sorted(set(symbols(folder / "torch/lib/libtorch_python.so", "--undefined-only")) - have)
    code = [STUBS]
    for name in wanted:
        # What is wanted from the C++ library stays with it: a second type_info there would be another type.
        if name in STUBS or not (name in kind or name.startswith(("cuFile", "nccl"))):
            continue
        if name.startswith("_ZTI"):
            type_info = f'{{_ZTVN10__cxxabiv117__class_type_infoE + 16, "{name.removeprefix("_ZTI")}"}}'
            code.append(f"void *{name}[3] = {type_info};")
        elif kind.get(name, "T") not in "TW":
            code.append(f"void *{name}[64];")
        else:
            code.append(f"long {name}(void) {{ return 0; }}")
    made = []
    for soname in REPLACED:
        text, versions = ("\n".join(code), "") if soname == REPLACED[0] else ("", "")
        if soname == "libcudnn.so.9":
            text, versions = "long cudnnGetProperty(void) { return 0; }", f"{soname} {{ global: *; }};"
        made.append(compile_library(soname, text, versions, folder))
    return made


def symbols(library: Path, which: str) -> dict[str, str]:
    """The dynamic symbols of a library and their kinds, as nm calls them."""
    done = subprocess.run(["nm", "-D", which, str(library)], check=True, capture_output=True, text=True)
    lines = [line.split() for line in done.stdout.splitlines()]
    return {words[-1].partition("@")[0]: words[-2] for words in lines}


def compile_library(soname: str, text: str, versions: str, folder: Path) -> Path:
    """Compile C into a shared library, with symbol versions where the real library has them."""
    (folder / "stub.c").write_text(text)
    (folder / "stub.map").write_text(versions)
    command = ["gcc", "-shared", "-fPIC", "-w", f"-Wl,-soname,{soname}", "-o", str(folder / soname)]
    command += [f"-Wl,--version-script={folder / 'stub.map'}"] if versions else []
    done = subprocess.run([*command, str(folder / "stub.c")], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failure(f"gcc could not make {soname}: {done.stderr.strip()}", "Is gcc with libc6-dev installed?")
    return folder / soname
