"""Which device computes, decided by a real convolution and never by a driver's promise."""

from __future__ import annotations

import torch
from torch import nn

from slicer_kdseg.protocol.errors import DeviceUnavailable


def reason_unusable(device: torch.device) -> str:
    """Empty if a forward and backward convolution runs on ``device`` as in training, else what went wrong."""
    try:
        layer = nn.Conv2d(1, 2, 3).to(device)
        dtype = faster_dtype(device)
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            seen = layer(torch.ones(1, 1, 8, 8, device=device))
        seen.float().sum().backward()
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


def faster_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where ``device`` computes in it, else float32, which emulated bfloat16 is several times slower than.

    The machine decides, no stopwatch: a model that is loaded twice must predict the same twice.
    """
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    able: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()  # older torch has no public way to ask
    return torch.bfloat16 if able.get("avx512_bf16") or able.get("amx_bf16") else torch.float32
