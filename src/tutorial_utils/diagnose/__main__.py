"""``python -m tutorial_utils.diagnose package.module:factory``: a diagnosis from the command line."""

import argparse
import sys
from typing import Any

from torch import nn

from tutorial_utils.command import ALARMING, FAILED, FINE, RequestError, argument_parser, build, readers_code, write
from tutorial_utils.diagnose import Diagnosis, diagnose
from tutorial_utils.diagnose.calling import refuse
from tutorial_utils.diagnose.findings import KINDS, check_kinds, fold, without

_DESCRIPTION = "Say what is wrong with the start of a model. The factory returns (model, batch) or \
(model, batch, loss_fn, target)."


def main(arguments: list[str] | None = None) -> int:
    """Print the diagnosis of what the command line names, and return the exit code.

    0: nothing is wrong; 1: something is; 2: the request, or the code that was asked for, failed.
    """
    parser = argument_parser("tutorial_utils.diagnose", _DESCRIPTION)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="findings and losses as JSON")
    form.add_argument("--csv", action="store_true", help="the table of all measured outputs as CSV")
    parser.add_argument("--only", nargs="+", metavar="KIND", help="keep findings of these kinds")
    parser.add_argument("--ignore", nargs="+", metavar="KIND", default=[], help="leave these out")
    parser.add_argument("--kinds", action=_Kinds, help="list the kinds of finding, and stop")
    options = parser.parse_args(arguments)
    try:
        only, ignored = check_kinds(options.only or KINDS), check_kinds(options.ignore)
        result = _diagnosed(build(options.model, seed=options.seed), options.seed)
    except (RequestError, ValueError, TypeError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return FAILED
    hidden = [kind for kind in KINDS if kind in ignored or kind not in only]
    shown = result.with_findings(without(result.findings, hidden))
    write(shown.json() if options.json else shown.table.to_csv(index=False) if options.csv else repr(shown))
    return FINE if shown.healthy else ALARMING


class _Kinds(argparse.Action):
    """Prints the kinds as ``--help`` prints the help."""

    def __init__(self, option_strings: list[str], dest: str, help: str | None = None) -> None:
        super().__init__(option_strings, dest, nargs=0, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        write("\n".join(fold(f"{kind}: {meaning}") for kind, meaning in KINDS.items()))
        parser.exit()


def _diagnosed(made: Any, seed: int | None) -> Diagnosis:
    """The diagnosis of what a factory made; the model's own code may print, and fails with its own traceback."""
    if isinstance(made, nn.Module) or not isinstance(made, tuple) or len(made) not in {2, 3, 4}:
        raise RequestError(
            f"the factory returned {_form(made)}, but it must return (model, batch), (model, batch, loss_fn), or "
            "(model, batch, loss_fn, target)"
        )
    refuse(made[0])
    with readers_code(seed):
        return diagnose(*made)


def _form(made: Any) -> str:
    return f"a tuple of {len(made)}" if isinstance(made, tuple) else f"a {type(made).__name__}"


if __name__ == "__main__":
    sys.exit(main())
