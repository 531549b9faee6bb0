"""`python3 -m mlservice_runtime`: commands for the hooks of a pod and for the build of an image."""

import argparse
import sys

from mlservice_runtime import __version__
from mlservice_runtime.settings import Settings


def main() -> None:
    if sys.argv[1:2] == ["serve"]:  # all that follows is vLLM's
        from mlservice_runtime import launcher

        raise SystemExit(launcher.main(sys.argv[2:]))
    parser = argparse.ArgumentParser(prog="python3 -m mlservice_runtime", description=__doc__)
    parser.add_argument("--version", action="version", version=f"mlservice-runtime {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="`vllm serve` with a status port and last words; all arguments are vLLM's")
    draining = commands.add_parser("drain", help="become unready and return when no request is in flight (preStop)")
    draining.add_argument("--settle", type=float, default=10, help="seconds until routers have noticed (default 10)")
    draining.add_argument("--max", type=float, default=60, help="seconds to wait after that (default 60)")
    commands.add_parser("check", help="fail when vLLM's environment lacks what the plugin needs (image build)")
    arguments = parser.parse_args()
    if arguments.command == "drain":
        from mlservice_runtime import drain

        raise SystemExit(drain.run(Settings.read().folder, arguments.settle, arguments.max))
    from mlservice_runtime import plugin  # it imports everything, vLLM's own packages included

    print(f"mlservice-runtime {__version__}: {plugin.Plugin.name} can be loaded")


if __name__ == "__main__":
    main()
