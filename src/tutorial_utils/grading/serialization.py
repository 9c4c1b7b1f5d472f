"""Plain data as bytes and back; what a student's process sends is read here, and nothing in it is executed.

A message is a text of JSON and, behind it, the numbers of the tensors, one tensor after the other. Nothing that is read
is larger than what came. `torch.load(weights_only=True)` executes nothing either, but it believes sizes, strides and
references that a file declares: 600 bytes become a tensor of 10**12 entries, 2 MB take half a minute to be refused.

>>> loads(*dumps([torch.tensor([1.0, 2.0]), {"a": None}]))
[tensor([1., 2.]), {'a': None}]
"""

import json
import math
import struct
from typing import Any

import torch
from torch import Tensor

from tutorial_utils.exercises.run import Unsupported

Json = Any
HEADER = struct.Struct("<II")
"""The lengths of text and numbers, which precede them in a stream."""
FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)
DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in FLOATS + INTEGERS}
MAX_ITEMS = 10**4
"""Of one list; the checker looks at each of them, again and again."""
MAX_ENTRIES = 2**22
"""The product of a tensor's sizes, zeros left out, since an empty tensor may have 10**9 rows, and each is shown."""
MAX_DIMENSIONS = 16


class MessageError(ValueError):
    """A value that cannot cross, or a message that is none."""


def dumps(value: object) -> tuple[bytes, bytes]:
    """Data, as :func:`~tutorial_utils.exercises.run.to_data` makes it, as text and numbers; or a MessageError."""
    numbers: list[bytes] = []
    text = json.dumps(_encode(value, numbers))
    return text.encode(), b"".join(numbers)


def _encode(value: object, numbers: list[bytes]) -> Json:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Tensor) and value.dtype in DTYPES.values():
        numbers.append(value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return {"tensor": [str(value.dtype).removeprefix("torch."), list(value.shape)]}
    if isinstance(value, Unsupported | Tensor):
        return {"unsupported": value.kind if isinstance(value, Unsupported) else str(value.dtype)}
    if not isinstance(value, list | tuple | dict) or len(value) > MAX_ITEMS:
        raise MessageError(f"a {type(value).__name__} is no data, or has more than {MAX_ITEMS} items")
    if isinstance(value, dict):
        return {"dict": {str(key): _encode(item, numbers) for key, item in value.items()}}
    return [_encode(item, numbers) for item in value]


def loads(text: bytes, numbers: bytes) -> Any:
    """The data that `dumps` wrote down; a MessageError for anything that it did not write."""
    try:
        return _Reader(numbers).decode(json.loads(text))
    except (TypeError, ValueError, LookupError, AttributeError, RuntimeError, OverflowError) as error:
        raise MessageError(f"an unreadable message: {type(error).__name__}: {str(error)[:200]}") from None


class _Reader:
    """Takes the numbers of one tensor after the other."""

    def __init__(self, numbers: bytes) -> None:
        self._numbers, self._read = numbers, 0

    def decode(self, sent: Json) -> Any:
        if sent is None or isinstance(sent, bool | int | float | str):
            return sent
        if len(sent) > MAX_ITEMS:
            raise MessageError(f"more than {MAX_ITEMS} items")
        if isinstance(sent, list):
            return [self.decode(item) for item in sent]
        ((tag, content),) = sent.items()
        if tag == "dict" and len(content) <= MAX_ITEMS:
            return {key: self.decode(item) for key, item in content.items()}
        if tag == "tensor":
            return self._tensor(*content)
        kind = {"unsupported": str(content)[:40]}[tag]
        return ... if kind == "ellipsis" else Unsupported(kind)  # an answer not written yet is no wrong one

    def _tensor(self, name: str, shape: list[int]) -> Tensor:
        entries = math.prod(max(1, size) for size in shape)
        if len(shape) > MAX_DIMENSIONS or entries > MAX_ENTRIES or min(shape, default=0) < 0:
            raise MessageError(f"a tensor of {len(shape)} dimensions and {entries} entries")
        dtype = DTYPES[name]
        begin, self._read = self._read, self._read + math.prod(shape) * dtype.itemsize
        data = bytearray(self._numbers[begin : self._read])
        stored = torch.uint8 if dtype == torch.bool else dtype  # a bool is one byte, but not every byte is a bool
        flat = torch.frombuffer(data, dtype=stored) if data else torch.empty(0, dtype=stored)
        return flat.to(dtype).reshape(shape)
