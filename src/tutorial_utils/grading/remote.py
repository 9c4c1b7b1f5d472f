"""A conversation with a worker, and stand-ins for the objects that it keeps.

>>> from pathlib import Path
>>> from tutorial_utils.grading.isolation import NOTHING
>>> remote = Remote(Process(NOTHING, Path(), Limits()), Limits())
>>> remote.ask({"do": "evaluate", "expression": "lambda x, y: x.add_(y)"})
<function>
>>> x = torch.zeros(2)
>>> _(x, 1.0) is x, x
(True, tensor([1., 1.]))
>>> remote.close()
"""

import base64
import builtins
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import cloudpickle
import torch

from tutorial_utils import exercises
from tutorial_utils.grading.process import Limits, Process, ProcessEnded
from tutorial_utils.grading.wire import (
    Json,
    WireError,
    decode,
    decode_leaf,
    decode_tensor,
    encode,
    encode_leaf,
    is_setting,
    leaves,
    name_of,
    settings,
)

# The worker has no exercises: what a checker hands to a student's function goes there with its code.
cloudpickle.register_pickle_by_value(exercises)
NO_CHANGE = encode((None, []))
LONGEST = 2000
"""Characters of what an exception says."""


class StandIn:
    """Something of the student's that is no data: calls and attributes are forwarded, nothing of it is here."""

    def __init__(self, remote: "Remote", number: int, kind: str, layer: str) -> None:
        self.__dict__.update(_remote=remote, _number=number, _kind=kind, _layer=layer)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """What the student's function returns; its changes to tensors, lists and networks are made here, too."""
        return self._remote.call(self._number, arguments, options)

    def __getattr__(self, name: str) -> Any:
        """The attribute of the student's object."""
        if name.startswith("__"):
            raise AttributeError(name)
        return self._method(name)

    def _method(self, name: str) -> Any:
        return self._remote.ask({"do": "attribute", "object": self._number, "name": name})

    def __getitem__(self, key: Any) -> Any:
        """An item of the student's object."""
        return self._method("__getitem__")(key)

    def __len__(self) -> int:
        """How many items it has."""
        return int(self._method("__len__")())

    def __iter__(self) -> Iterator[Any]:
        """The items."""
        return iter(list(self._method("__iter__")()))

    def __setattr__(self, name: str, value: Any) -> None:
        """Set the attribute of the student's object."""
        sent = self._remote.encode(value)
        self._remote.ask({"do": "assign", "object": self._number, "name": name, "value": sent})

    def __repr__(self) -> str:
        """Of what kind the student's object is."""
        return f"<{self._kind}>"

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        """What isinstance asks for: one of torch's layers answers for itself."""
        kind: type = getattr(torch.nn, self._layer) if self._layer else StandIn
        return kind


class Bridge(torch.autograd.Function):
    """A tensor that the worker computed; its backward pass asks the worker."""

    @staticmethod
    def forward(ctx: Any, remote: "Remote", number: int, value: torch.Tensor, *inputs: torch.Tensor) -> torch.Tensor:
        """The tensor itself; an input that asks for a gradient makes it ask, too."""
        ctx.remote, ctx.number = remote, number
        return value.detach()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        """The gradients of the call's arguments."""
        request = {"do": "backward", "object": ctx.number, "gradient": encode(gradients[0])}
        return (None, None, None, None, *ctx.remote.ask(request))


class Remote:
    """A conversation with one worker, which ends with the first word that makes no sense.

    Args:
        process: the worker.
        limits: how long it may take.
    """

    def __init__(self, process: Process, limits: Limits) -> None:
        self._process, self._limits = process, limits
        #: The time, on the monotonic clock, after which nothing is asked any more.
        self.end = float("inf")
        #: Whether the worker is still there.
        self.alive = True
        #: The number of the cell that ran last.
        self.cell = -1

    def close(self) -> None:
        """End the worker."""
        self.alive = False
        self._process.close()

    def ask(self, request: Json) -> Any:
        """The value that answers a request.

        Raises:
            Exception: the one that the student's code raised.
            ProcessEnded: if there is no worker any more, or what it says makes no sense.
            TimeUp: if it took too long.
        """
        return self._answer(request, [])[0]

    def call(self, number: int, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Call an object of the worker with copies of the arguments; bring its changes to them back.

        Raises:
            Exception: as :meth:`ask`.
        """
        given = [list(arguments), options]
        request = {"do": "call", "object": number, "given": self.encode(given)}
        tensors = list(leaves(given))
        value, (after, changed) = self._answer(request | {"dtype": name_of(torch.get_default_dtype())}, tensors)
        restore(given, after)
        for tensor, moved in zip(tensors, changed, strict=False):
            if moved:  # what autograd notices there, it notices here
                with torch.no_grad():
                    tensor.copy_(tensor.clone())
        return value

    def _answer(self, request: Json, tensors: list[torch.Tensor]) -> tuple[Any, Any]:
        """The value that comes back, and what became of the arguments."""
        try:
            reply = self._exchange(request)
            if "error" not in reply:
                return self._decode(reply["value"], tensors), decode(reply.get("after", NO_CHANGE))
            error = exception(*map(str, reply["error"]))
        except (WireError, LookupError, TypeError, RecursionError) as broken:
            self.close()
            raise ProcessEnded(f"your code spoiled a message to the grader: {broken}") from None
        except BaseException:
            self.close()
            raise
        raise error

    def _exchange(self, request: Json) -> Json:
        """Send a request, answer what the worker asks in between, and return its reply."""
        if not self.alive:
            raise ProcessEnded("your code ended the process that it ran in")
        seconds = self._limits.start if request["do"] == "cells" else self._limits.call
        end = min(time.monotonic() + seconds, self.end)
        self._process.send(request)
        while not {"value", "error"} & set(reply := self._process.receive(end - time.monotonic())):
            if "cell" in reply:
                self.cell, end = max(0, int(reply["cell"])), min(time.monotonic() + self._limits.cell, self.end)
            else:
                self._process.send(own_data(*map(str, reply["data"])))
        return reply

    # --- what crosses -------------------------------------------------------------------------------

    def encode(self, value: object) -> Json:
        """A value for the worker, which may believe a pickle from here."""
        return encode(value, self._leaf)

    def _leaf(self, value: object) -> Json:
        if type(value) is StandIn:
            return {"object": value._number}
        try:
            return encode_leaf(value)
        except WireError:
            return {"pickle": base64.b64encode(cloudpickle.dumps(value)).decode()}

    def _decode(self, sent: Json, tensors: list[torch.Tensor]) -> Any:
        """A value from the worker, of a call with these tensors among its arguments."""

        def leaf(tag: str, content: Json) -> object:
            if tag == "argument":
                return tensors[content]
            if tag == "object":
                return self._stand_in(*content)
            if tag == "output":
                asking = torch.zeros((), requires_grad=True)  # parameters of the worker's ask for a gradient
                value = decode_tensor(content[1])
                return Bridge.apply(self, int(content[0]), value, asking, *tensors)  # type: ignore[no-untyped-call]
            return decode_leaf(tag, content)

        return decode(sent, leaf)

    def _stand_in(self, number: int, kind: str, layer: str) -> StandIn:
        known = getattr(torch.nn, layer, None)  # a tensor, such as a Parameter, comes with its numbers or not at all
        of_torch = isinstance(known, type) and issubclass(known, torch.nn.Module)
        return StandIn(self, int(number), str(kind)[:40], layer if of_torch else "")


def own_data(id: str, student_id: str) -> Json:
    """The data of an exercise, as a reply; or why there are none."""
    try:
        return {"value": encode(exercises.data(id, student_id=student_id or None))}
    except (ValueError, TypeError) as error:
        return {"error": str(error)}


def exception(kind: str, message: str, where: str) -> BaseException:
    """The exception that a worker tells of: one of Python's own, or a new one of that name."""
    text = (f"{message} ({where})" if message and where else message or where)[:LONGEST]
    known = getattr(builtins, kind, None)
    if isinstance(known, type) and issubclass(known, (Exception, SystemExit)):
        with suppress(TypeError):
            return known(text)
    made: type[Exception] = type(kind[:40], (Exception,), {})
    return made(text)


def restore(value: Any, after: Any) -> Any:
    """Do to a value what was done to its copy; the value, or what replaced it.

    >>> x = [torch.zeros(1), 2]
    >>> _ = restore(x, [torch.ones(1), 3])
    >>> x
    [tensor([1.]), 3]
    """
    if isinstance(value, torch.Tensor) and isinstance(after, torch.Tensor):
        _restore_tensor(value, after)
    elif isinstance(value, torch.Generator) and isinstance(after, torch.Generator):
        value.set_state(after.get_state())
    elif isinstance(value, torch.nn.Module) and isinstance(after, dict):
        restore(value.state_dict(keep_vars=True), after.get("tensors"))
        _restore_settings(value, after.get("settings"))
    elif isinstance(value, list) and isinstance(after, list):
        value[:] = [*map(restore, value, after), *after[len(value) :]]
    elif isinstance(value, dict) and isinstance(after, dict):
        value.update({key: restore(value.get(key), item) for key, item in after.items()})
    elif isinstance(value, tuple) and isinstance(after, tuple):
        return tuple(map(restore, value, after))
    elif isinstance(after, int | float | str | list | dict | tuple | torch.Tensor):
        return after
    return value


def _restore_tensor(value: torch.Tensor, after: torch.Tensor) -> None:
    """Give a tensor the numbers of another, and whether it asks for a gradient and has one."""
    if value.dtype != after.dtype or not torch.equal(value.nan_to_num(), after.nan_to_num()):
        value.data = after.detach()
    if value.is_leaf and value.is_floating_point():
        value.requires_grad_(after.requires_grad)
        value.grad = after.grad


def _restore_settings(network: torch.nn.Module, after: Any) -> None:
    """Give the layers of a network other numbers and switches, where they have such."""
    for name, layer in network.named_modules():
        told = after.get(name) if isinstance(after, dict) else None
        for key, held in settings(layer)[""].items():
            new = told.get(key, held) if isinstance(told, dict) else held
            if is_setting(new):
                setattr(layer, key, new)
