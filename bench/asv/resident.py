"""Peak of resident memory during a call, above what was resident before it (Linux)."""

import ctypes
import gc
from pathlib import Path


def extra_memory(call):
    """Bytes by which the resident memory of this process peaked during call() above what it was before."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # else what freed memory the allocator keeps would be used again unseen
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak to what is resident now
    before = _status("VmRSS")
    call()
    return max(0, _status("VmHWM") - before)


def _status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":"))
