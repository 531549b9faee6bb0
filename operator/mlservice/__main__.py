"""`python -m mlservice`: the same as the `mlservice` command."""

import sys

from mlservice.cli.main import main

sys.exit(main())
