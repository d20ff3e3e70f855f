"""What a scan is, in one line."""

from deqjax.data.scan import Scan


def describe(scan: Scan) -> str:
    """Say in one line what a scan of several slices is: name, format, slices, coils, size, and how much was sampled.

    Source: ours.

    >>> import numpy as np
    >>> describe(Scan(np.zeros((3, 8, 6), np.complex64), mask=np.array([[1, 0, 1, 0, 0, 1]]), name="a.h5"))
    'a.h5: 3 slices, 1 coil, 8 x 6, 50 % sampled'
    """
    slices, coils = scan.kspace.shape[0], scan.kspace.shape[1] if scan.kspace.ndim == 4 else 1
    y, x = scan.kspace.shape[-2:]
    parts = [f"{slices} slice{'s' * (slices != 1)}", f"{coils} coil{'s' * (coils != 1)}", f"{y} x {x}"]
    left, right = scan.padding or (0, x)
    if scan.mask is None and right - left < x:
        parts.append(f"columns {left} to {right - 1} all sampled")
    else:
        parts.append("all sampled" if scan.mask is None else f"{scan.mask.mean():.0%} sampled".replace("%", " %"))
    if scan.voxel_size is not None:
        parts.append(" x ".join(f"{mm:.3g}" for mm in scan.voxel_size) + " mm")
    parts += [f"with {name}" for name in ("target", "smaps") if getattr(scan, name) is not None]
    return f"{scan.name}{', ' * bool(scan.format)}{scan.format}: {', '.join(parts)}"
