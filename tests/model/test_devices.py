"""Copies through buffers that take turns: the logic, on a CPU. The streams of CUDA are not run here."""

import pytest
import torch

from easel.inference.staging import StagedCopy, copy_to_device

CPU = torch.device("cpu")


@pytest.mark.parametrize("buffer_bytes", [8, 24, 1000, 10**6])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64, torch.uint8])
@pytest.mark.parametrize("shape", [(), (0, 3), (1,), (7, 11), (3, 5, 2, 4)])
def test_what_arrives_is_what_was_sent_however_it_is_cut(buffer_bytes, dtype, shape):
    staged = StagedCopy(CPU, buffer_bytes)
    tensors = [torch.randint(0, 100, shape).to(dtype) for _ in range(5)]
    copies = [staged.copy(tensor) for tensor in tensors]
    staged.finish()
    for tensor, copy in zip(tensors, copies, strict=True):
        assert (copy.shape, copy.dtype) == (tensor.shape, tensor.dtype)
        assert torch.equal(copy, tensor)


def test_a_slice_that_is_not_contiguous_arrives_whole():
    tensor = torch.arange(60).reshape(3, 4, 5).transpose(0, 2)[:, 1:]
    assert torch.equal(StagedCopy(CPU, 16).copy(tensor), tensor)


def test_the_buffers_take_turns_and_a_copy_is_apart_from_its_source():
    staged = StagedCopy(CPU, 8)
    tensor = torch.arange(6)
    copy = staged.copy(tensor)
    assert [buffer.view(torch.int64).item() for buffer in staged.buffers] == [4, 5]
    tensor[0] = 9
    assert copy[0] == 0


def test_on_a_cpu_a_tensor_of_the_right_type_is_handed_on_as_it_is():
    tensor = torch.ones(3)
    with copy_to_device(CPU) as place:
        assert place(tensor, torch.float32) is tensor
        assert place(tensor, torch.float16).dtype == torch.float16
