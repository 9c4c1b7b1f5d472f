"""One file that keeps what a sweep has finished, so that an interrupted sweep continues where it stopped."""

import os
import time
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


class Trained(NamedTuple):
    """What is kept of one training: each step's loss, and loss and accuracy on each part at the chosen steps."""

    losses: Array  # (steps,)
    evaluations: Array  # (chosen steps, metrics): train_loss, train_accuracy, test_loss, test_accuracy, and so on


class Checkpoint:
    """The finished trainings of one experiment by key, in memory and, given a path, in one ``.npz`` file.

    The file is replaced as a whole, by a rename: even if the writer dies, whoever reads it finds a complete one.
    Writing takes at most a tenth of the time.

    Args:
        path: the file, or None to keep everything in memory only. It is read if it exists.
        experiment: what all keys have in common; a file of another experiment is rejected.

    Raises:
        ValueError: if the file is of another experiment or cannot be read.

    >>> checkpoint = Checkpoint(None, "three steps each")
    >>> checkpoint.add({"lr = 0.1": Trained(np.zeros(3), np.zeros((1, 4)))})
    >>> list(checkpoint.trained)
    ['lr = 0.1']
    """

    def __init__(self, path: str | os.PathLike[str] | None, experiment: str):
        self.path, self.experiment = None if path is None else Path(path), experiment
        self.trained: dict[str, Trained] = self._read(self.path) if self.path is not None and self.path.exists() else {}
        self._due = 0.0
        self._saved = len(self.trained)

    def add(self, trained: dict[str, Trained]) -> None:
        """Keep some more trainings; write the file unless it was written just now."""
        self.trained |= trained
        if time.monotonic() >= self._due:
            self.save()

    def save(self) -> None:
        """Write the file, if there is one to write and anything new to put in it."""
        if self.path is None or len(self.trained) == self._saved:
            return
        begin = time.monotonic()
        self._write(self.path)
        self._saved = len(self.trained)
        self._due = time.monotonic() + 9 * (time.monotonic() - begin)

    def _write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f".{path.name}.{os.getpid()}.npz")
        losses, evaluations = (np.stack(column) for column in zip(*self.trained.values(), strict=True))
        try:
            with open(new, "wb") as file:
                np.savez(
                    file, experiment=self.experiment, keys=list(self.trained), losses=losses, evaluations=evaluations
                )
                file.flush()
                os.fsync(file.fileno())
            os.replace(new, path)
        finally:
            new.unlink(missing_ok=True)

    def _read(self, path: Path) -> dict[str, Trained]:
        try:
            with open(path, "rb") as source, np.load(source, allow_pickle=False) as file:
                experiment, *columns = (file[name] for name in ("experiment", "keys", "losses", "evaluations"))
        except (OSError, KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"checkpoint = {str(path)!r} is not a file that a sweep has written: {error}") from error
        if str(experiment) != self.experiment:
            raise ValueError(
                f"checkpoint = {str(path)!r} holds another experiment,\n{experiment}\nnot\n{self.experiment}\n"
                "give each experiment a file of its own"
            )
        return {str(key): Trained(*row) for key, *row in zip(*columns, strict=True)}
