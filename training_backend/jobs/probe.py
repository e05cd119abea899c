"""Which devices can train: ``python -m training_backend.jobs.probe`` runs a real convolution on each, as JSON.

In a process of its own, because a broken driver may take the process with it, and because torch has no
business in the server.
"""

from __future__ import annotations

import json
import subprocess
import sys

from slicer_kdseg.protocol import wire
from slicer_kdseg.protocol.messages import DeviceInfo

PROBE_SECONDS = 120.0


def usable_devices() -> tuple[tuple[DeviceInfo, ...], dict[str, str]]:
    """Devices and versions, found in a child process; blocks for the seconds that torch takes to load."""
    command = [sys.executable, "-m", "training_backend.jobs.probe"]
    try:
        result = subprocess.run(command, capture_output=True, timeout=PROBE_SECONDS, check=True)
        found = json.loads(result.stdout)
    except (subprocess.SubprocessError, ValueError) as error:
        reason = f"The test of the devices did not end well ({type(error).__name__}); run 'kdseg doctor'."
        return (DeviceInfo("cpu", False, reason),), {}
    return tuple(wire.from_json(DeviceInfo, device) for device in found["devices"]), found["versions"]


def main() -> None:
    import torch

    memory = [torch.cuda.get_device_properties(index).total_memory for index in range(torch.cuda.device_count())]
    devices = [_tried("cpu", 0), *(_tried(f"cuda:{index}", size) for index, size in enumerate(memory))]
    versions = {"torch": torch.__version__, "python": sys.version.split()[0]}
    sys.stdout.write(json.dumps({"devices": [wire.to_json(device) for device in devices], "versions": versions}))


def _tried(name: str, memory_bytes: int) -> DeviceInfo:
    import torch

    from training_backend.engine.device import reason_unusable

    reason = reason_unusable(torch.device(name))
    return DeviceInfo(name, not reason, reason, memory_bytes)


if __name__ == "__main__":
    main()
