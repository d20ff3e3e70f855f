"""Tests of writing ISMRMRD, and of agreement with the package ismrmrd in both directions."""

import numpy as np
import pytest

from deqjax.data import read_ismrmrd, read_noise, write_ismrmrd
from deqjax.data.formats import ismrmrd_acquisitions as layout

KSPACE = (np.arange(2 * 3 * 8 * 5).reshape(2, 3, 8, 5) * (1 - 2j)).astype(np.complex64)


def test_the_ismrmrd_package_reads_our_files(tmp_path):
    ismrmrd = pytest.importorskip("ismrmrd")
    noise = np.full((3, 11), 1 + 1j, np.complex64)
    mask = np.array([[1, 0, 1, 1, 1]])
    path = write_ismrmrd(tmp_path / "a.h5", KSPACE, mask, voxel_size=(4.0, 2.0, 1.0), crop=(4, 5), noise=noise)
    with ismrmrd.Dataset(path, "dataset", create_if_needed=False) as dataset:
        header = ismrmrd.xsd.CreateFromDocument(dataset.read_xml_header())
        acquisitions = [dataset.read_acquisition(i) for i in range(dataset.number_of_acquisitions())]
    encoding = header.encoding[0]
    encoded, recon = encoding.encodedSpace, encoding.reconSpace
    assert (encoded.matrixSize.x, encoded.matrixSize.y, encoded.matrixSize.z) == (8, 5, 1)
    assert (encoded.fieldOfView_mm.x, encoded.fieldOfView_mm.y, encoded.fieldOfView_mm.z) == (16, 5, 4)
    assert (recon.matrixSize.x, recon.fieldOfView_mm.x) == (4, 8)
    limits = encoding.encodingLimits.kspace_encoding_step_1
    assert (limits.minimum, limits.maximum, limits.center) == (0, 4, 2)
    assert len(acquisitions) == 1 + 2 * 4
    assert acquisitions[0].isFlagSet(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
    np.testing.assert_array_equal(acquisitions[0].data, noise)
    for one, (number, line) in zip(acquisitions[1:], [(s, x) for s in (0, 1) for x in (0, 2, 3, 4)]):
        assert (one.idx.slice, one.idx.kspace_encode_step_1) == (number, line)
        np.testing.assert_array_equal(one.data, KSPACE[number, :, :, line])
        assert one.center_sample == 4
        assert bool(one.isFlagSet(ismrmrd.ACQ_FIRST_IN_SLICE)) == (line == 0)
        assert bool(one.isFlagSet(ismrmrd.ACQ_LAST_IN_SLICE)) == (line == 4)
    assert acquisitions[-1].isFlagSet(ismrmrd.ACQ_LAST_IN_MEASUREMENT)
    assert [one.scan_counter for one in acquisitions] == list(range(9))


def test_files_of_the_ismrmrd_package_are_read(tmp_path):
    ismrmrd = pytest.importorskip("ismrmrd")
    template = write_ismrmrd(tmp_path / "template.h5", KSPACE)
    with ismrmrd.Dataset(template, "dataset", create_if_needed=False) as dataset:
        xml = dataset.read_xml_header()
    path = tmp_path / "a.h5"
    with ismrmrd.Dataset(path, "dataset", create_if_needed=True) as dataset:
        dataset.write_xml_header(xml)
        noise = ismrmrd.Acquisition.from_array(np.ones((3, 20), np.complex64))
        noise.setFlag(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
        dataset.append_acquisition(noise)
        for number, line in [(1, 4), (0, 1), (1, 0), (0, 4)]:
            one = ismrmrd.Acquisition.from_array(np.ascontiguousarray(KSPACE[number, :, :, line]))
            one.idx.slice, one.idx.kspace_encode_step_1 = number, line
            dataset.append_acquisition(one)
    scan = read_ismrmrd(path)
    assert scan.mask is not None
    np.testing.assert_array_equal(scan.mask[:, 0], [[0, 1, 0, 0, 1], [1, 0, 0, 0, 1]])
    np.testing.assert_array_equal(scan.kspace, KSPACE * scan.mask[:, None])
    np.testing.assert_array_equal(read_noise(path), np.ones((3, 20)))


def test_layout_and_flags_agree_with_the_ismrmrd_package():
    ismrmrd = pytest.importorskip("ismrmrd")
    from ismrmrd.hdf5 import acquisition_dtype

    assert acquisition_dtype == layout.ACQUISITION
    assert layout.FIRST_IN_SLICE == ismrmrd.ACQ_FIRST_IN_SLICE
    assert layout.LAST_IN_SLICE == ismrmrd.ACQ_LAST_IN_SLICE
    assert layout.NOISE == ismrmrd.ACQ_IS_NOISE_MEASUREMENT
    assert layout.CALIBRATION == ismrmrd.ACQ_IS_PARALLEL_CALIBRATION
    assert layout.REVERSE == ismrmrd.ACQ_IS_REVERSE
    assert layout.LAST_IN_MEASUREMENT == ismrmrd.ACQ_LAST_IN_MEASUREMENT
    assert set(layout.NOT_IMAGE) == {
        ismrmrd.ACQ_IS_NOISE_MEASUREMENT,
        ismrmrd.ACQ_IS_NAVIGATION_DATA,
        ismrmrd.ACQ_IS_PHASECORR_DATA,
        ismrmrd.ACQ_IS_HPFEEDBACK_DATA,
        ismrmrd.ACQ_IS_DUMMYSCAN_DATA,
        ismrmrd.ACQ_IS_RTFEEDBACK_DATA,
        ismrmrd.ACQ_IS_SURFACECOILCORRECTIONSCAN_DATA,
        ismrmrd.ACQ_IS_PHASE_STABILIZATION_REFERENCE,
        ismrmrd.ACQ_IS_PHASE_STABILIZATION,
    }


def test_existing_files_are_kept_unless_overwrite_is_set(tmp_path):
    path = write_ismrmrd(tmp_path / "new" / "a.h5", KSPACE)
    with pytest.raises(ValueError, match=r"a\.h5: exists and is not overwritten"):
        write_ismrmrd(path, 2 * KSPACE)
    np.testing.assert_array_equal(read_ismrmrd(path).kspace, KSPACE)
    write_ismrmrd(path, 2 * KSPACE, overwrite=True)
    np.testing.assert_array_equal(read_ismrmrd(path).kspace, 2 * KSPACE)
    assert [p.name for p in path.parent.iterdir()] == ["a.h5"]


@pytest.mark.parametrize(
    ("kspace", "options", "message"),
    [
        (KSPACE[0, 0], {}, r"kspace must be complex with axes .*shape \(8, 5\)"),
        (KSPACE.real, {}, "type float32"),
        (KSPACE[:0], {}, "of 1 to 65535 each"),
        (np.zeros((1, 65536, 1), np.complex64), {}, "of 1 to 65535 each"),
        (KSPACE * np.nan, {}, r"NaN or infinity in kspace"),
        (KSPACE, {"mask": np.ones((8, 5))}, r"mask has shape \(8, 5\); lines are written"),
        (KSPACE, {"mask": np.zeros((1, 5))}, "mask leaves a slice without any line"),
        (KSPACE, {"noise": np.ones((2, 9))}, r"noise must be \(coil, sample\) with 3 coils"),
    ],
)
def test_invalid_input_raises(tmp_path, kspace, options, message):
    with pytest.raises(ValueError, match=message):
        write_ismrmrd(tmp_path / "a.h5", kspace, **options)
    assert not list(tmp_path.iterdir())
