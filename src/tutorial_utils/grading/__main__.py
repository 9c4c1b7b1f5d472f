"""Hand out, collect, grade: python -m tutorial_utils.grading --help."""

import sys

from tutorial_utils.grading.cli import main

if __name__ == "__main__":
    sys.exit(main())
