"""The header of an ISMRMRD file, in XML."""

import xml.etree.ElementTree as ElementTree
from typing import NamedTuple


class Encoding(NamedTuple):
    """One encoding of the header; sizes along (x, y, z): readout, phase encode, partition."""

    encoded: tuple[int, ...]
    recon: tuple[int, ...]
    encoded_mm: tuple[float, ...]
    recon_mm: tuple[float, ...]
    centre: tuple[int | None, int | None]
    """Number of the line, and of the partition, at the centre of k-space."""
    lines: tuple[int, int] | None
    """Lines minimum and maximum, both included."""
    trajectory: str
    calibration: str
    """How calibration lines were measured: ``embedded`` ones belong to the image."""

    def pixels(self, axis: int) -> int:
        """Size of the recon field of view in pixels of the encoded space, at most all of them."""
        size, whole, part = self.encoded[axis], self.encoded_mm[axis], self.recon_mm[axis]
        return min(size, round(size * part / whole) if whole > 0 and part > 0 else self.recon[axis])

    @property
    def padding(self) -> tuple[int, int] | None:
        """Columns ``left <= x < right`` that the limits say were acquired."""
        if self.lines is None:
            return None
        columns, centre = self.encoded[1], self.centre[0]
        left = 0 if centre is None else columns // 2 - centre
        return max(left + self.lines[0], 0), min(left + self.lines[1] + 1, columns)

    @property
    def voxel_size(self) -> tuple[float, float, float] | None:
        """Millimetres along (x, y, z), where the header says."""
        x, y, z = (mm / size for mm, size in zip(self.encoded_mm, self.encoded))
        return (x, y, z) if min(x, y, z) > 0 else None

    def __str__(self) -> str:
        return f"{' x '.join(map(str, self.encoded))} {self.trajectory}"


def parse_encodings(xml: str | bytes) -> list[Encoding]:
    """Read the encodings of an ISMRMRD header.

    Raises ValueError for text that is not XML, and for an encoding without matrix sizes.

    Source: Inati et al., "ISMRM Raw Data Format", Magnetic Resonance in Medicine 77(1):411-421, 2017; its schema
    ``ismrmrd.xsd``.

    >>> str(parse_encodings(make_xml((8, 6, 1), (8, 6, 1), (1.0, 1.0, 5.0)))[0])
    '8 x 6 x 1 cartesian'
    """
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError as error:
        raise ValueError(f"the header is not XML ({error})") from error
    return [_encoding(element) for element in root.findall("{*}encoding")]


def _encoding(element: ElementTree.Element) -> Encoding:
    def text(path: str, default: str | None = None) -> str:
        found = element.findtext("/".join("{*}" + tag for tag in path.split("/")))
        if found is None and default is None:
            raise ValueError(f"the header has no encoding/{path}")
        return (found or default or "").strip()

    def sizes(path: str) -> tuple[int, ...]:
        return tuple(int(text(f"{path}/matrixSize/{axis}")) for axis in "xyz")

    def millimetres(path: str) -> tuple[float, ...]:
        return tuple(float(text(f"{path}/fieldOfView_mm/{axis}", "0")) for axis in "xyz")

    def limit(step: int, name: str) -> int | None:
        found = text(f"encodingLimits/kspace_encoding_step_{step}/{name}", "none")
        return None if found == "none" else int(found)

    first, last = limit(1, "minimum"), limit(1, "maximum")
    return Encoding(
        encoded=sizes("encodedSpace"),
        recon=sizes("reconSpace"),
        encoded_mm=millimetres("encodedSpace"),
        recon_mm=millimetres("reconSpace"),
        centre=(limit(1, "center"), limit(2, "center")),
        lines=None if last is None else (first or 0, last),
        trajectory=text("trajectory", "cartesian").lower(),
        calibration=text("parallelImaging/calibrationMode", "other").lower(),
    )


def make_xml(encoded: tuple[int, int, int], recon: tuple[int, int, int], voxel_size: tuple[float, float, float]) -> str:
    """Write the header of one Cartesian encoding, valid in the schema; sizes and millimetres along (x, y, z).

    Source: as of `parse_encodings`. The resonance frequency, which the schema wants, is that of hydrogen at 1.5 T.

    >>> make_xml((8, 6, 1), (8, 6, 1), (1.0, 1.0, 5.0)).count("<encoding>")
    1
    """

    def space(name: str, matrix: tuple[int, int, int]) -> str:
        sizes = "".join(f"<{axis}>{size}</{axis}>" for axis, size in zip("xyz", matrix))
        field = "".join(f"<{axis}>{size * mm:g}</{axis}>" for axis, size, mm in zip("xyz", matrix, voxel_size))
        return f"<{name}><matrixSize>{sizes}</matrixSize><fieldOfView_mm>{field}</fieldOfView_mm></{name}>"

    limits = "".join(
        f"<kspace_encoding_step_{step}><minimum>0</minimum><maximum>{size - 1}</maximum><center>{size // 2}</center>"
        f"</kspace_encoding_step_{step}>"
        for step, size in enumerate(encoded)
    )
    return (
        '<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><experimentalConditions>'
        "<H1resonanceFrequency_Hz>63866220</H1resonanceFrequency_Hz></experimentalConditions><encoding>"
        f"{space('encodedSpace', encoded)}{space('reconSpace', recon)}<encodingLimits>{limits}</encodingLimits>"
        "<trajectory>cartesian</trajectory></encoding></ismrmrdHeader>"
    )
