"""Tests of the ISMRMRD header: reading, absent fields, and the sizes that are derived from it."""

import pytest

from deqjax.data.formats.ismrmrd_header import make_xml, parse_encodings

XML = make_xml((512, 208, 1), (256, 192, 1), (0.8, 1.0, 5.0))


def test_reads_what_make_xml_writes():
    (encoding,) = parse_encodings(XML)
    assert (encoding.encoded, encoding.recon) == ((512, 208, 1), (256, 192, 1))
    assert encoding.encoded_mm == pytest.approx((409.6, 208, 5))
    assert encoding.recon_mm == pytest.approx((204.8, 192, 5))
    assert (encoding.centre, encoding.lines) == ((104, 0), (0, 207))
    assert (encoding.trajectory, encoding.calibration) == ("cartesian", "other")
    assert parse_encodings(XML.encode()) == [encoding]


def test_derived_sizes():
    (encoding,) = parse_encodings(XML)
    assert [encoding.pixels(axis) for axis in range(3)] == [256, 192, 1]
    assert encoding.voxel_size == pytest.approx((0.8, 1.0, 5.0))
    assert encoding.padding == (0, 208)
    # 256 pixels over 204.8 mm that were measured as 208 lines over 300 mm
    odd = encoding._replace(recon=(256, 256, 1), encoded_mm=(409.6, 300.0, 5.0), recon_mm=(204.8, 204.8, 5.0))
    assert odd.pixels(1) == round(208 * 204.8 / 300)
    assert encoding._replace(lines=(4, 150), centre=(90, 0)).padding == (18, 165)
    assert encoding._replace(lines=None).padding is None


def test_optional_fields_may_be_absent():
    start, end = XML.index("<encodingLimits>"), XML.index("</encodingLimits>")
    (encoding,) = parse_encodings(
        XML[:start] + "<encodingLimits>" + XML[end:].replace("<trajectory>cartesian</trajectory>", "")
    )
    assert (encoding.centre, encoding.lines, encoding.trajectory) == ((None, None), None, "cartesian")
    without = XML.replace("fieldOfView_mm", "other")
    (encoding,) = parse_encodings(without)
    assert encoding.voxel_size is None
    assert encoding.pixels(0) == 256
    assert parse_encodings(XML.replace("http://www.ismrm.org/ISMRMRD", "other"))[0].encoded == (512, 208, 1)


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        ("text", "the header is not XML"),
        (XML.replace("encodedSpace", "space"), "the header has no encoding/encodedSpace/matrixSize/x"),
        (XML.replace("<reconSpace><matrixSize>", "<reconSpace><size>").replace("</matrixSize>", "</size>", 2), "XML"),
        (XML.replace("<x>512</x>", "<x>many</x>"), "many"),
    ],
)
def test_broken_headers_raise(xml, message):
    with pytest.raises(ValueError, match=message):
        parse_encodings(xml)
