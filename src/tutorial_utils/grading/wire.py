"""What may cross between the grader and a student's code: plain data, one line of JSON a message.

Numbers, strings, booleans and None cross as they are; tuples, lists, sets, dicts, tensors, arrays and generators as a
dict with one key that says what they are. Nothing that arrives is executed: no pickle, no name is looked up.

>>> sent = encode([torch.tensor([1.0, 2.0]), (3, None)])
>>> decode(sent)
[tensor([1., 2.]), (3, None)]
"""

import base64
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

Json = Any


def name_of(dtype: torch.dtype) -> str:
    """The name of a dtype, without the module.

    >>> name_of(torch.float64)
    'float64'
    """
    return str(dtype).removeprefix("torch.")


DTYPES = {
    name_of(dtype): dtype
    for dtype in (
        *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64, torch.complex128),
        *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
    )
}
CONTAINERS: dict[str, type[Any]] = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}
MOST_ITEMS = 10**4
"""Of one container; the checker looks at each of them, again and again."""
LARGEST_SIZE = 2**22
"""The product of a tensor's sizes, zeros left out. An empty tensor may have 10**9 rows, and each is shown."""
MOST_DIMENSIONS = 16


class WireError(ValueError):
    """A value that cannot cross, or a message that is none."""


# --- there --------------------------------------------------------------------------------------------


def encode_tensor(value: torch.Tensor) -> Json:
    """Dtype, shape, bytes, whether it asks for a gradient, and the gradient it has."""
    flat = value.detach().cpu().contiguous().reshape(-1)
    text = base64.b64encode(flat.view(torch.uint8).numpy().tobytes()).decode()
    grad = value.grad if value.is_leaf and value.grad is not None else None
    held = None if grad is None else encode_tensor(grad)
    return [name_of(value.dtype), list(value.shape), text, value.requires_grad, held]


def encode_leaf(value: object) -> Json:
    """What stands for one thing that is neither number, text nor container.

    Errors: WireError if the thing is no data.
    """
    if isinstance(value, torch.Tensor):
        return {"parameter" if isinstance(value, torch.nn.Parameter) else "tensor": encode_tensor(value)}
    if isinstance(value, np.ndarray):
        return {"array": encode_tensor(torch.from_numpy(value))}
    if isinstance(value, torch.Generator):
        return {"generator": encode_tensor(value.get_state())}
    if isinstance(value, torch.dtype):
        return {"dtype": name_of(value)}
    if isinstance(value, complex):
        return {"complex": [value.real, value.imag]}
    if value is ...:
        return {"ellipsis": None}
    raise WireError(f"an object of type {type(value).__name__} is no data")


def encode(value: object, leaf: Callable[[object], Json] = encode_leaf) -> Json:
    """What stands for a value in JSON; `leaf` is asked about all but numbers, texts and containers.

    Errors: WireError for what is no data.
    """
    if isinstance(value, np.generic):
        return encode(value.item(), leaf)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple | set | frozenset | dict) and len(value) > MOST_ITEMS:
        raise WireError(f"a {type(value).__name__} of more than {MOST_ITEMS} items is too long")
    for name, kind in CONTAINERS.items():
        if isinstance(value, kind):
            return {name: [encode(item, leaf) for item in value]}
    if isinstance(value, dict):
        return {"dict": [[encode(key, leaf), encode(item, leaf)] for key, item in value.items()]}
    return leaf(value)


# --- and back -----------------------------------------------------------------------------------------


def decode_tensor(content: Json) -> torch.Tensor:
    """The tensor that `encode_tensor` wrote down."""
    name, shape, text, requires_grad, grad = content
    if len(shape) > MOST_DIMENSIONS or math.prod(max(1, size) for size in shape) > LARGEST_SIZE:
        raise WireError(f"a tensor of {len(shape)} dimensions that is too large")
    dtype, data = DTYPES[name], bytearray(base64.b64decode(text, validate=True))
    stored = torch.uint8 if dtype == torch.bool else dtype  # a bool is one byte, but not every byte is a bool
    flat = torch.frombuffer(data, dtype=stored) if data else torch.empty(0, dtype=stored)
    result = flat.to(dtype).reshape(shape).requires_grad_(bool(requires_grad))
    result.grad = None if grad is None else decode_tensor(grad)
    return result


def _parameter(content: Json) -> torch.nn.Parameter:
    value = decode_tensor(content)
    result = torch.nn.Parameter(value.detach(), requires_grad=value.requires_grad)
    result.grad = value.grad
    return result


_DECODERS: dict[str, Callable[[Json], object]] = {
    "tensor": decode_tensor,
    "parameter": _parameter,
    "array": lambda content: decode_tensor(content).numpy(),
    "generator": lambda content: torch.Generator().set_state(decode_tensor(content)),
    "dtype": DTYPES.__getitem__,
    "complex": lambda content: complex(*content),
    "ellipsis": lambda content: ...,
}


def decode_leaf(tag: str, content: Json) -> object:
    """The thing that `encode_leaf` wrote down.

    Errors: WireError for an unknown tag.
    """
    if tag not in _DECODERS:
        raise WireError(f"a message with {tag[:40]!r} in it")
    return _DECODERS[tag](content)


def decode(sent: Json, leaf: Callable[[str, Json], object] = decode_leaf) -> Any:
    """The value that `encode` wrote down; `leaf` is asked about all but numbers, texts and containers.

    Errors: WireError for anything that `encode` did not write.
    """
    if sent is None or isinstance(sent, bool | int | float | str):
        return sent
    if not isinstance(sent, dict) or len(sent) != 1:
        raise WireError("a message that is no tagged value")
    ((tag, content),) = sent.items()
    try:
        if tag in (*CONTAINERS, "dict") and len(content) > MOST_ITEMS:
            raise WireError(f"more than {MOST_ITEMS} items")
        if tag in CONTAINERS:
            return CONTAINERS[tag](decode(item, leaf) for item in content)
        if tag == "dict":
            return {decode(key, leaf): decode(item, leaf) for key, item in content}
        return leaf(tag, content)
    except (TypeError, ValueError, LookupError, RuntimeError, OverflowError) as error:
        raise WireError(f"an unreadable {tag[:40]}: {error}") from error


def settings(network: torch.nn.Module) -> dict[str, dict[str, object]]:
    """The numbers and switches of each layer: training, eps, momentum and the like.

    >>> settings(torch.nn.Dropout(0.5))
    {'': {'training': True, 'p': 0.5, 'inplace': False}}
    """
    return {
        name: {key: held for key, held in vars(layer).items() if key[0] != "_" and is_setting(held)}
        for name, layer in network.named_modules()
    }


def is_setting(value: object) -> bool:
    """Whether a value is a number, a switch or None."""
    return value is None or isinstance(value, bool | int | float)


def leaves(value: object) -> Iterator[torch.Tensor]:
    """The tensors in nested tuples, lists, dicts and networks, in order."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from leaves(item)
    elif isinstance(value, dict):
        yield from leaves(list(value.values()))
    elif isinstance(value, torch.nn.Module):
        yield from value.state_dict(keep_vars=True).values()
