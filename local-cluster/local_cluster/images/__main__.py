"""The command line of the images: build them, write them as archives, and try the Dockerfiles."""

import argparse
import sys
from pathlib import Path

from local_cluster import images
from local_cluster.images import dockerfiles
from local_cluster.report import Failure, Stopwatch


def main() -> None:
    """Run one verb; a Failure is printed without a traceback and ends with status 1."""
    top = argparse.ArgumentParser(prog="python -m local_cluster.images", description=images.__doc__)
    verbs = top.add_subparsers(title="verbs", required=True)

    verb = verbs.add_parser("build", help="make images where the cache does not have them")
    verb.add_argument("names", nargs="+", metavar="IMAGE", choices=list(images.RECIPES))
    verb.set_defaults(run=build)

    verb = verbs.add_parser("archive", help="write an image as a tar for podman, docker load or kind load")
    verb.add_argument("name", metavar="IMAGE", choices=list(images.RECIPES))
    verb.add_argument("destination", type=Path)
    verb.set_defaults(run=archive)

    verb = verbs.add_parser("dockerfiles", help="build the Dockerfiles with buildah and run a command in each image")
    verb.set_defaults(run=build_dockerfiles)

    arguments = top.parse_args()
    try:
        arguments.run(arguments)
    except Failure as failure:
        sys.exit(f"Error: {failure}")
    except KeyboardInterrupt:
        sys.exit("Interrupted. The same command can be run again.")


def build(arguments: argparse.Namespace) -> None:
    """Build, and print the references."""
    watch = Stopwatch()
    for name in arguments.names:
        image = images.build(name, watch)
        print(f"{name} -> {image.reference} ({sum(layer.size for layer in image.layers) / 1e6:.0f} MB)")
        for layer in image.layers:
            print(f"  {layer.size / 1e6:8.1f} MB  {layer.path.parent.name.rpartition('-')[0]}")
    print(f"Next, into the cluster: python -m local_cluster load {' '.join(arguments.names)}")


def archive(arguments: argparse.Namespace) -> None:
    """Write one image as an OCI archive."""
    watch = Stopwatch()
    image = images.build(arguments.name, watch)
    image.write(arguments.destination)
    watch.say(f"{arguments.destination}: {image.reference}")


def build_dockerfiles(_: argparse.Namespace) -> None:
    """Build all Dockerfiles; a Failure when an image does not say what it should."""
    buildah = dockerfiles.Buildah(Stopwatch())
    for dockerfile in dockerfiles.ALL:
        output = buildah.build(dockerfile)
        if dockerfile.expected not in output:
            raise Failure(f"The image of {dockerfile.path} printed {output!r}.", f"Expected: {dockerfile.expected}")
        print(f"{dockerfile.path}: `{' '.join(dockerfile.smoke)}` prints {output}")
        for instruction, size in buildah.layers(dockerfile):
            print(f"  {size / 1e6:8.1f} MB  {instruction[:100]}")


if __name__ == "__main__":
    main()
