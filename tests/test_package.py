"""What ``import deqjax`` gives, and what it costs."""

import subprocess
import sys

import deqjax as dj

SLOW = {
    "scipy.ndimage",
    "scipy.spatial",
    "scipy.sparse",
    "matplotlib",
    "orbax",
    "jaxopt",
    "nibabel",
    "deqjax.registration",
}


def test_dir_lists_the_public_names() -> None:
    assert dir(dj) == sorted(dj.__all__)
    assert all(hasattr(dj, name) for name in dj.__all__)
    assert not hasattr(dj, "no_such_name")


def test_slow_packages_and_registration_are_imported_when_they_are_used() -> None:
    script = f"import sys, deqjax; print({SLOW} & set(sys.modules)); deqjax.registration.Grid"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
