"""How many trials a worker runs at once, and what share of the machine each of them has."""

import os
import subprocess
from collections.abc import Mapping, MutableMapping


def gpus(environment: Mapping[str, str]) -> list[str]:
    """The GPUs that this worker may use, by the name that CUDA_VISIBLE_DEVICES takes.

    Asked of the driver's own tool: importing TensorFlow for it would cost seconds, and would hold
    memory on every GPU.
    """
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name for name in visible.split(",") if name not in ("", "-1")]
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [str(i) for i, line in enumerate(listed.stdout.splitlines()) if line.startswith("GPU")]


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def count(wanted: int, environment: Mapping[str, str]) -> int:
    """The slots of a worker: as wanted, or one a GPU, or else one a core."""
    return wanted or len(gpus(environment)) or cores()


def share_cores(slots: int, environment: MutableMapping[str, str]) -> None:
    """Gives each slot its share of the cores; to be called before TensorFlow is imported.

    Single-threaded slots beat one process with all threads: six trials of a small net took 52 s in
    one process and 28 s in two single-threaded ones, on two cores.
    """
    threads = str(max(1, cores() // slots))
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
        environment.setdefault(name, threads)
    environment.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # A slot's process takes the GPU memory that it needs, not all there is.
    environment.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")


def take_gpu(index: int, environment: MutableMapping[str, str]) -> None:
    """Leaves slot ``index`` one GPU of the worker's, if it has any."""
    names = gpus(environment)
    if names:
        environment["CUDA_VISIBLE_DEVICES"] = names[index % len(names)]
