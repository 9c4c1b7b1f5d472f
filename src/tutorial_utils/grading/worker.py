"""The process in which a submission's code runs: it obeys requests that arrive on its standard input.

Nothing here is trusted once the first cell has run; the grader believes no more of what this process says than it
would believe of a student. Requests and replies are lines of JSON as :mod:`~tutorial_utils.grading.wire` writes them.

>>> worker = Worker(print, dict)
>>> worker.do({"do": "evaluate", "expression": "6 * 7"})
{'value': 42}
"""

import base64
import builtins
import json
import os
import pickle
import re
import resource
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from types import ModuleType
from typing import Any, BinaryIO

import torch

import tutorial_utils
from tutorial_utils.grading.wire import (
    DTYPES,
    MOST_ITEMS,
    Json,
    decode,
    decode_leaf,
    encode,
    encode_leaf,
    encode_tensor,
    leaves,
    settings,
)

FILE_BYTES = 64 * 2**20
PROCESSES = 32
SPECIAL = re.compile(r"^\s*[%!?]|\?\s*$|=\s*[%!]", re.MULTILINE)
"""What only IPython understands, or may be."""


class NoShell:
    """What `get_ipython()` gives to a student's cell: magics do nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        """A method that does nothing."""
        return lambda *arguments, **options: None


class Worker:
    """Runs cells, calls functions, reads attributes, and keeps the objects that are no data.

    Args:
        send: takes a message for the grader.
        receive: gives the next message of the grader.
    """

    def __init__(self, send: Callable[[Json], object], receive: Callable[[], Json]) -> None:
        self.send, self.receive = send, receive
        self.kept: list[Any] = []
        self.arguments: list[torch.Tensor] = []
        self.module = ModuleType("__main__")
        self.module.__dict__.update(get_ipython=NoShell, display=print)

    # --- what crosses -------------------------------------------------------------------------------

    def encode(self, value: object) -> Json:
        """A value for the grader; an object that is no data stays here, and gets a number."""
        return encode(value, self._leaf)

    def _leaf(self, value: object) -> Json:
        if isinstance(value, torch.Tensor):
            return self._tensor(value)
        if isinstance(value, Iterator):
            return self.encode(list(islice(value, MOST_ITEMS)))
        with suppress(ValueError):
            return encode_leaf(value)
        kinds = [base for base in type(value).__mro__ if getattr(torch.nn, base.__name__, None) is base]
        return {"object": [self._keep(value), type(value).__name__, kinds[0].__name__ if kinds else ""]}

    def _tensor(self, value: torch.Tensor) -> Json:
        """A tensor, which may be one of the arguments, or have a graph that the grader may ask for gradients."""
        for number, argument in enumerate(self.arguments):
            if value is argument:
                return {"argument": number}
        if value.grad_fn is not None:
            return {"output": [self._keep((value, self.arguments)), encode_tensor(value)]}
        return encode_leaf(value)

    def _keep(self, value: object) -> int:
        self.kept.append(value)
        return len(self.kept) - 1

    def decode(self, sent: Json) -> Any:
        """A value from the grader, whose pickles are to be believed."""
        return decode(sent, self._own)

    def _own(self, tag: str, content: Json) -> object:
        if tag == "object":
            return self.kept[content]
        if tag == "pickle":
            return pickle.loads(base64.b64decode(content))
        return decode_leaf(tag, content)

    def ask(self, question: Json) -> Any:
        """What the grader answers to a question in between.

        Errors: ValueError with the grader's words.
        """
        self.send(question)
        reply = self.receive()
        if "error" in reply:
            raise ValueError(reply["error"])
        return self.decode(reply["value"])

    # --- requests -----------------------------------------------------------------------------------

    def do(self, request: Json) -> None:
        """Obey one request and send one reply: a value, or the exception that came."""
        try:
            work: Callable[[Json], Json] = getattr(self, "do_" + request["do"])
            reply = work(request)
        except BaseException as error:
            reply = {"error": [type(error).__name__, str(error)[:2000], last_line(error)]}
        self.send(reply)

    def do_cells(self, asked: Json) -> Json:
        """Run the cells one by one, as a notebook does: one that fails does not stop the next."""
        sys.modules["__main__"] = self.module
        replace_exercises(lambda id, student_id=None: self.ask({"data": [id, student_id or ""]}))
        for number, source in enumerate(asked["cells"]):
            self.send({"cell": number})
            if number not in asked["skip"]:
                run_cell(source, f"cell {number + 1}", self.module.__dict__)
        return {"value": None}

    def do_evaluate(self, asked: Json) -> Json:
        """Give the value of an expression."""
        return {"value": self.encode(eval(asked["expression"], self.module.__dict__))}

    def do_attribute(self, asked: Json) -> Json:
        """Give an attribute of an object."""
        return {"value": self.encode(getattr(self.kept[asked["object"]], asked["name"]))}

    def do_assign(self, asked: Json) -> Json:
        """Set an attribute of an object; the numbers in it, if both are tensors."""
        holder, value = self.kept[asked["object"]], self.decode(asked["value"])
        held = getattr(holder, asked["name"], None)
        if isinstance(held, torch.Tensor) and isinstance(value, torch.Tensor):
            held.data = value
        else:
            setattr(holder, asked["name"], value)
        return {"value": None}

    def do_call(self, asked: Json) -> Json:
        """Call an object; say what it returned and what became of the arguments."""
        torch.set_default_dtype(DTYPES[asked["dtype"]])
        given = arguments, options = self.decode(asked["given"])
        self.arguments = list(leaves(given))
        versions = [tensor._version for tensor in self.arguments]
        try:
            value = self.encode(self.kept[asked["object"]](*arguments, **options))
            changed = [tensor._version != old for tensor, old in zip(self.arguments, versions, strict=True)]
            return {"value": value, "after": {"tuple": [encode(given, state), encode(changed)]}}
        finally:
            self.arguments = []

    def do_backward(self, asked: Json) -> Json:
        """Send a gradient back through what was called; give those of the call's arguments."""
        output, arguments = self.kept[asked["object"]]
        for tensor in arguments:
            tensor.grad = None
        torch.autograd.backward(output, self.decode(asked["gradient"]), retain_graph=True)
        return {"value": encode([tensor.grad for tensor in arguments])}


def state(value: object) -> Json:
    """What the grader needs to know of an argument after a call; of a network, its tensors and settings."""
    if isinstance(value, torch.nn.Module):
        return encode({"tensors": dict(value.state_dict(keep_vars=True)), "settings": settings(value)})
    return encode_leaf(value) if isinstance(value, torch.Tensor | torch.Generator) else None


def replace_exercises(data: Callable[..., object]) -> None:
    """Put a module without right answers in the place of the one that has them; its checks say nothing."""
    module: Any = ModuleType("tutorial_utils.exercises")
    module.check, module.data, module.EXERCISES = lambda *arguments, **options: None, data, {}
    sys.modules[module.__name__] = tutorial_utils.exercises = module  # type: ignore[attr-defined]


def run_cell(source: str, name: str, namespace: dict[str, Any]) -> None:
    """Run one cell; what it raises stays here, as in a notebook."""
    try:
        exec(compile(plain(source) if SPECIAL.search(source) else source, name, "exec"), namespace)
    except BaseException:
        traceback.print_exc()


def plain(source: str) -> str:
    """The cell as Python, with magics and shell commands turned into calls."""
    from IPython.core.inputtransformer2 import TransformerManager  # takes a while, and few notebooks need it

    result: str = TransformerManager().transform_cell(source)  # type: ignore[no-untyped-call]
    return result


def last_line(error: BaseException) -> str:
    """The line of a cell where an error came up; "" if it came up elsewhere."""
    lines = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith("cell ")]
    return f"line {lines[-1].lineno} of {lines[-1].filename}" if lines else ""


# --- the process --------------------------------------------------------------------------------------


def limit(memory: int, seconds: int) -> None:
    """Take the right to more memory, time, files and processes from this process for good."""
    used = 0
    with suppress(OSError), open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    for what, most in (
        (resource.RLIMIT_AS, used + memory),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, FILE_BYTES),
        (resource.RLIMIT_NPROC, PROCESSES),
        (resource.RLIMIT_CORE, 0),
    ):
        with suppress(ValueError, OSError):  # a system that knows no such limit
            resource.setrlimit(what, (most, most))
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")  # if memory runs out all the same, this goes first, and not the grader


def private_ends() -> tuple[BinaryIO, BinaryIO]:
    """Standard input and output under other numbers; what a cell prints or reads goes nowhere."""
    ends = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)
    return ends


def main() -> None:
    """Obey requests until there are no more; the arguments are bytes of memory and seconds of processor time."""
    requests, replies = private_ends()

    def send(message: Json) -> None:
        replies.write(json.dumps(message).encode() + b"\n")
        replies.flush()

    torch.set_num_threads(1)
    builtins.input = lambda *prompt: ""
    tempfile.tempdir = os.getcwd()
    limit(*map(int, sys.argv[1:3]))
    worker = Worker(send, lambda: json.loads(next(requests)))
    for line in requests:
        worker.do(json.loads(line))


if __name__ == "__main__":
    main()
