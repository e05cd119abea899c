"""Which device computes, decided by a real convolution and never by a driver's promise."""

from __future__ import annotations

import time

import torch
from torch import nn

from slicer_kdseg.protocol.errors import DeviceUnavailable


def reason_unusable(device: torch.device) -> str:
    """Empty if a forward and backward convolution runs on ``device``, else what went wrong."""
    try:
        layer = nn.Conv2d(1, 2, 3).to(device)
        layer(torch.ones(1, 1, 8, 8, device=device)).sum().backward()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
    except (RuntimeError, AssertionError) as error:
        return str(error).splitlines()[0]
    return ""


def choose_device(wish: str) -> torch.device:
    """``auto``, ``cpu`` or ``cuda`` to a device that works. Raises :class:`DeviceUnavailable`."""
    if wish == "cpu":
        return torch.device("cpu")
    reason = reason_unusable(torch.device("cuda"))
    if not reason:
        return torch.device("cuda")
    if wish == "cuda":
        raise DeviceUnavailable(f"A GPU was asked for but cannot be used ({reason}); choose device 'cpu' or 'auto'.")
    return torch.device("cpu")


def faster_dtype(network: nn.Module, sample: torch.Tensor) -> torch.dtype:
    """bfloat16 where two training steps of ``network`` on ``sample`` are faster with it, else float32.

    CPUs without bfloat16 instructions emulate it, several times slower: so it is measured, not assumed.
    """
    if sample.device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    seconds = {dtype: _seconds_per_step(network, sample, dtype) for dtype in (torch.float32, torch.bfloat16)}
    return min(seconds, key=lambda dtype: seconds[dtype])


def _seconds_per_step(network: nn.Module, sample: torch.Tensor, dtype: torch.dtype) -> float:
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        with torch.autocast(sample.device.type, dtype, enabled=dtype != torch.float32):
            loss = network(sample).float().square().mean()
        torch.autograd.grad(loss, [p for p in network.parameters() if p.requires_grad], allow_unused=True)
        best = min(best, time.process_time() - start)
    return best
