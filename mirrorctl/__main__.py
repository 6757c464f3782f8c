"""Run mirrorctl as `python -m mirrorctl`."""

import sys

from mirrorctl.app import main

if __name__ == "__main__":
    sys.exit(main())
