"""`python -m easel.cli`."""

import sys

from easel.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
