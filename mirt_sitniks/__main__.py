"""`python -m mirt_sitniks` is `mirt-sitniks`."""

import sys

from mirt_sitniks.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
