"""`python -m local_cluster`: see `python -m local_cluster --help`."""

from local_cluster.cli import main

if __name__ == "__main__":
    main()
