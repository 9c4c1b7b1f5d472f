"""Hand out, collect, grade, in a course folder: python -m tutorial_utils.grading {release,collect,grade}."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tutorial_utils.grading import desk


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(prog="python -m tutorial_utils.grading", description=__doc__)
    commands = result.add_subparsers(dest="command", required=True)
    releasing = commands.add_parser("release", help="make the notebooks for students")
    releasing.add_argument("names", nargs="*", help="assignments (default: all in source)")
    collecting = commands.add_parser("collect", help="put what came in where grading finds it")
    collecting.add_argument("name", help="the assignment")
    collecting.add_argument("folder", type=Path, help="or archive: a folder or a notebook named after each student")
    grading = commands.add_parser("grade", help="grade, write feedback, grades.csv and report.csv")
    grading.add_argument("name", help="the assignment")
    grading.add_argument("students", nargs="*", help="ids (default: everybody)")
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    options = parser().parse_args(arguments)
    try:
        if options.command == "grade":
            return 0 if desk.grade(options.name, options.students) else 1
        if options.command == "release":
            lines = desk.release(options.names)
        else:
            lines = desk.collect(options.name, options.folder)
    except desk.DeskError as error:
        print(error, file=sys.stderr)
        return 1
    print(*lines, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
