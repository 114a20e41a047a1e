"""Copy tensors to a device while the next ones are still being read."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch

BLOCK_BYTES = 2**30  # of pinned memory: torch takes the next power of two of what is asked for
ALIGNMENT = 256
BUFFER_BYTES = 64 * 2**20  # per buffer: large enough that starting a copy costs nothing beside it


class StagedCopy:
    """Copies tensors from (mapped) memory to `device` through two buffers that take turns.

    On CUDA the buffers are pinned and the copies run on a stream of their own: while one buffer is on its way, the
    other is filled, so reading and copying overlap. Not run on a GPU; on a CPU the same steps run one after another.
    """

    def __init__(self, device: torch.device, buffer_bytes: int = BUFFER_BYTES) -> None:
        self.device = device
        cuda = device.type == "cuda"
        self.stream = torch.cuda.Stream(device) if cuda else None
        self.buffers = [torch.empty(buffer_bytes, dtype=torch.uint8, pin_memory=cuda) for _ in range(2)]
        self.sent: list[Any] = [torch.cuda.Event() if cuda else None for _ in self.buffers]
        self.turn = 0

    def copy(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return a tensor of the same shape and type on the device; complete after `finish`, or for work on
        `stream`.
        """
        source = tensor.contiguous().view(-1).view(torch.uint8)
        with self.on_stream():
            target = torch.empty(tensor.shape, dtype=tensor.dtype, device=self.device)
        flat = target.view(-1).view(torch.uint8)
        for start in range(0, source.numel(), self.buffers[0].numel()):
            piece = source[start : start + self.buffers[0].numel()]
            self._send(piece, flat[start : start + piece.numel()])
        return target

    def _send(self, piece: torch.Tensor, target: torch.Tensor) -> None:
        k, self.turn = self.turn, (self.turn + 1) % len(self.buffers)
        if self.sent[k] is not None:
            self.sent[k].synchronize()  # returns at once before the first record
        buffer = self.buffers[k][: piece.numel()]
        buffer.copy_(piece)
        with self.on_stream():
            target.copy_(buffer, non_blocking=True)
            if self.sent[k] is not None:
                self.sent[k].record()

    def on_stream(self) -> Any:
        return torch.cuda.stream(self.stream) if self.stream else nullcontext()

    def finish(self) -> None:
        if self.stream:
            self.stream.synchronize()


@contextmanager
def copy_to_device(device: torch.device) -> Iterator[Any]:
    """Give a function (tensor, dtype) -> the tensor on `device` in that type; all are complete when the context ends.

    A tensor that is there already and has the type is handed on as it is: on a CPU, a view of its file.
    """
    if device.type == "cpu":
        yield lambda tensor, dtype: tensor.to(dtype)
        return
    staged = StagedCopy(device)

    def place(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        if tensor.device.type == device.type:  # read there directly
            return tensor.to(dtype)
        copied = staged.copy(tensor)
        with staged.on_stream():
            return copied.to(dtype)

    yield place
    staged.finish()


class PinnedCopies:
    """Copies in the host's memory, pinned for a CUDA device and packed into blocks."""

    def __init__(self, device: torch.device, block_bytes: int = BLOCK_BYTES) -> None:
        self.pin = device.type == "cuda"
        self.block_bytes = block_bytes
        self.block = torch.empty(0, dtype=torch.uint8)
        self.used = 0

    def copy(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return a tensor of the same values, shape and dtype."""
        if self.used + tensor.nbytes > self.block.numel():
            self.block = torch.empty(max(tensor.nbytes, self.block_bytes), dtype=torch.uint8, pin_memory=self.pin)
            self.used = 0
        copy = self.block[self.used : self.used + tensor.nbytes].view(tensor.dtype).view(tensor.shape)
        self.used += -(-tensor.nbytes // ALIGNMENT) * ALIGNMENT
        return copy.copy_(tensor)
