"""The ISMRMRD header in a fastMRI file: reading the two sizes that are used, and writing a minimal header."""

import xml.etree.ElementTree as ElementTree
from typing import NamedTuple

NAMESPACE = "http://www.ismrm.org/ISMRMRD"


class Geometry(NamedTuple):
    """The size of the image and the acquired part of k-space, as given by the header."""

    crop: tuple[int, int]
    """Size (y, x) of the image that the scanner makes."""

    padding: tuple[int, int]
    """The columns ``left <= x < right`` were acquired; k-space is zero outside them."""


def parse_header(header: str | bytes) -> Geometry:
    """Read the crop and the padding from the XML of ``ismrmrd_header``.

    ``crop = reconSpace.matrixSize (x, y)``, where x of the header is the readout, which is our y axis;
    ``left = encodedSpace.matrixSize.y // 2 - center`` and ``right = left + maximum + 1`` with the limits of
    ``kspace_encoding_step_1``. All of them count samples.

    Args:
      header: the text of the header.

    Raises:
      ValueError: the text is not XML, or one of these numbers is absent.

    Source: Inati et al., "ISMRM Raw Data Format", Magnetic Resonance in Medicine 77(1):411-421, 2017; the formulas are
    those of ``SliceDataset`` in ``fastmri/data/mri_data.py``.

    >>> parse_header(make_header((640, 368), (320, 320)))
    Geometry(crop=(320, 320), padding=(0, 368))
    """
    try:
        root = ElementTree.fromstring(header)
    except (ElementTree.ParseError, TypeError, ValueError, LookupError) as error:  # also an unknown text encoding
        raise ValueError(f"ismrmrd_header is not XML ({error})") from error
    encoded, recon = "encodedSpace/matrixSize/", "reconSpace/matrixSize/"
    limits = "encodingLimits/kspace_encoding_step_1/"
    left = _integer(root, encoded + "y") // 2 - _integer(root, limits + "center")
    crop = (_integer(root, recon + "x", 1), _integer(root, recon + "y", 1))
    return Geometry(crop, (max(left, 0), left + _integer(root, limits + "maximum") + 1))


def _integer(root: ElementTree.Element, path: str, lowest: int = 0) -> int:
    """Return the integer at a path below ``encoding``, which is at most 65535."""
    element = root.find("/".join(f"{{{NAMESPACE}}}{tag}" for tag in ("encoding", *path.split("/"))))
    text = None if element is None else element.text
    try:
        value = int(text or "")
    except ValueError as error:
        found = "is absent" if element is None else f"is {(text or '')[:40]!a}"
        raise ValueError(f"ismrmrd_header: encoding/{path} {found}, expected an integer ({NAMESPACE})") from error
    if not lowest <= value <= 65535:
        raise ValueError(
            f"ismrmrd_header: encoding/{path} is {(text or '')[:40]!a}, expected an integer from {lowest} to 65535"
        )
    return value


def make_header(kspace_shape: tuple[int, ...], crop: tuple[int, int]) -> str:
    """Write the XML that `parse_header` reads, for a k-space that was acquired completely.

    Args:
      kspace_shape: (..., y, x).
      crop: size (y, x) of the image.

    >>> make_header((640, 368), (320, 320))[:60]
    '<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.'
    """
    height, width = kspace_shape[-2:]
    return (
        f'<?xml version="1.0"?><ismrmrdHeader xmlns="{NAMESPACE}"><encoding>'
        f"<encodedSpace><matrixSize><x>{height}</x><y>{width}</y><z>1</z></matrixSize></encodedSpace>"
        f"<reconSpace><matrixSize><x>{crop[0]}</x><y>{crop[1]}</y><z>1</z></matrixSize></reconSpace>"
        f"<encodingLimits><kspace_encoding_step_1><minimum>0</minimum><maximum>{width - 1}</maximum>"
        f"<center>{width // 2}</center></kspace_encoding_step_1></encodingLimits>"
        "<trajectory>cartesian</trajectory></encoding></ismrmrdHeader>"
    )
