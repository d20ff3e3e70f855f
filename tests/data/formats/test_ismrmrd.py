"""Tests of reading ISMRMRD: positions of lines, acquisitions that are left out or averaged, and errors."""

import re
import warnings

import h5py
import numpy as np
import pytest

from deqjax.data import (
    ScanWarning,
    describe,
    phantom_volume,
    read_calibration,
    read_ismrmrd,
    read_noise,
    write_ismrmrd,
)
from deqjax.data.formats.ismrmrd import ismrmrd_shape
from deqjax.data.formats.ismrmrd_acquisitions import (
    ACQUISITION,
    CALIBRATION,
    CALIBRATION_AND_IMAGE,
    NOISE,
    REVERSE,
)
from deqjax.data.formats.ismrmrd_header import make_xml
from deqjax.data.fourier_numpy import ifft1c, ifft2c


def noise(*shape, seed=0):
    parts = np.random.default_rng(seed).standard_normal((2, *shape), np.float32)
    return parts[0] + 1j * parts[1]


def write_raw(path, acquisitions, encoded, edit=lambda xml: xml, group="dataset"):
    """Write a file of acquisitions (samples (coil, sample), head fields, counters) without `write_ismrmrd`."""
    written = np.zeros(len(acquisitions), ACQUISITION)
    for i, (samples, head, counters) in enumerate(acquisitions):
        one = {"active_channels": samples.shape[0], "number_of_samples": samples.shape[1]}
        for name, value in (one | {"center_sample": samples.shape[1] // 2} | head).items():
            written["head"][name][i] = value
        for name, value in counters.items():
            written["head"]["idx"][name][i] = value
        written["traj"][i] = np.zeros(0, np.float32)
        written["data"][i] = np.ascontiguousarray(samples, np.complex64).view(np.float32).ravel()
    with h5py.File(path, "w") as file:
        file.create_dataset(f"{group}/data", data=written, dtype=ACQUISITION)
        file.create_dataset(f"{group}/xml", data=[edit(make_xml(encoded, encoded, (1.0, 1.0, 1.0)))])
    return path


def line(samples, step, head=(), **counters):
    return samples, dict(head), {"kspace_encode_step_1": step} | counters


def flag(number):
    return {"flags": 1 << (number - 1)}


@pytest.mark.parametrize("shape", [(1, 8, 6), (3, 9, 7), (1, 4, 9, 5), (3, 5, 8, 6)])
def test_round_trip_is_bit_equal(tmp_path, shape):
    kspace = noise(*shape)
    path = write_ismrmrd(tmp_path / "a.h5", kspace, voxel_size=(5.0, 1.5, 0.5))
    scan = read_ismrmrd(path)
    np.testing.assert_array_equal(scan.kspace, kspace)
    assert (scan.kspace.dtype, scan.mask, scan.name) == (np.complex64, None, "a.h5")
    assert (scan.slices, scan.format) == (tuple(range(shape[0])), "ISMRMRD HDF5")
    assert (scan.padding, scan.crop) == ((0, shape[-1]), shape[-2:])
    assert scan.voxel_size == pytest.approx((5.0, 1.5, 0.5))
    assert ismrmrd_shape(path) == shape


def test_undersampled_lines_and_the_mask(tmp_path):
    kspace, mask = noise(2, 3, 8, 7), np.array([[1, 0, 0, 1, 1, 0, 1]])
    scan = read_ismrmrd(write_ismrmrd(tmp_path / "a.h5", kspace, mask))
    np.testing.assert_array_equal(scan.mask, mask)
    np.testing.assert_array_equal(scan.kspace, kspace * mask)
    masks = np.array([[[1, 0, 0, 1, 1, 0, 1]], [[0, 1, 0, 1, 0, 0, 1]]])
    scan = read_ismrmrd(write_ismrmrd(tmp_path / "b.h5", kspace, masks))
    np.testing.assert_array_equal(scan.mask, masks)
    np.testing.assert_array_equal(scan.kspace, kspace * masks[:, None])


def test_reads_only_the_requested_slices(tmp_path):
    kspace = noise(4, 2, 8, 6)
    path = write_ismrmrd(tmp_path / "a.h5", kspace)
    with h5py.File(path, "r+") as file:
        broken = file["dataset/data"][0]
        broken["data"] = broken["data"] * np.float32(np.nan)
        file["dataset/data"][0] = broken
    scan = read_ismrmrd(path, slices=(1, 2))
    np.testing.assert_array_equal(scan.kspace, kspace[1:3])
    assert scan.slices == (1, 2)
    assert scan.attrs is not None
    assert [frame["slice"] for frame in scan.attrs["frames"]] == [1, 2]
    with pytest.raises(ValueError, match=r"a\.h5: NaN or infinity in the k-space of slices 0 to 3"):
        read_ismrmrd(path)
    with pytest.raises(ValueError, match=r"a\.h5: no slices 2 to 4; it has 4"):
        read_ismrmrd(path, slices=(2, 4))


def test_lines_in_any_order_and_the_centre_of_the_limits(tmp_path):
    """Line n lies at x = n - centre + X // 2."""
    values = noise(5, 2, 8)
    order = [3, 0, 4, 1, 2]
    lines = [line(values[n], n) for n in order]
    path = write_raw(
        tmp_path / "a.h5", lines, (8, 7, 1), lambda xml: xml.replace("<center>3</center>", "<center>2</center>")
    )
    scan = read_ismrmrd(path)
    np.testing.assert_array_equal(scan.kspace[0, :, :, 1:6], values.transpose(1, 2, 0))
    np.testing.assert_array_equal(scan.mask, [[0, 1, 1, 1, 1, 1, 0]])


def test_without_limits_the_line_number_is_the_position(tmp_path):
    def edit(xml):
        first, last = xml.index("<encodingLimits>"), xml.index("</encodingLimits>")
        return xml[:first] + "<encodingLimits>" + xml[last:]

    values = noise(6, 1, 8)
    scan = read_ismrmrd(write_raw(tmp_path / "a.h5", [line(v, n) for n, v in enumerate(values)], (8, 6, 1), edit))
    np.testing.assert_array_equal(scan.kspace[0], values[:, 0].T)
    assert (scan.mask, scan.padding) == (None, None)


def test_averages_are_averaged_and_segments_are_joined(tmp_path):
    values = noise(3, 6, 2, 8)
    lines = [line(v, n, average=a, segment=n % 2) for a, some in enumerate(values[:2]) for n, v in enumerate(some)]
    lines += [line(values[2, 4], 4, average=2)]
    kspace = read_ismrmrd(write_raw(tmp_path / "a.h5", lines, (8, 6, 1))).kspace
    assert kspace.shape == (1, 2, 8, 6)
    np.testing.assert_allclose(kspace[0, :, :, 0], values[:2, 0].mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(kspace[0, :, :, 4], values[:, 4].mean(axis=0), atol=1e-6)


def test_frames_lie_on_the_leading_axis_with_the_slice_fastest(tmp_path):
    values = noise(2, 3, 4, 6, 1, 8)  # repetition, contrast, slice, line
    lines = [line(values[r, c, s, n], n, repetition=r, contrast=c, slice=s) for r, c, s, n in np.ndindex(2, 3, 4, 6)]
    lines = [lines[i] for i in np.random.default_rng(0).permutation(len(lines))]
    path = write_raw(tmp_path / "a.h5", lines, (8, 6, 1))
    scan = read_ismrmrd(path)
    np.testing.assert_array_equal(scan.kspace, values[..., 0, :].reshape(24, 6, 8).transpose(0, 2, 1))
    assert scan.attrs is not None
    assert scan.attrs["frames"][13] == {"set": 0, "repetition": 1, "phase": 0, "contrast": 0, "slice": 1}
    part = read_ismrmrd(path, slices=(13, 20))
    np.testing.assert_array_equal(part.kspace, scan.kspace[13:21])
    assert part.attrs is not None
    assert part.attrs["frames"] == scan.attrs["frames"][13:21]


def test_noise_is_left_out_of_the_image_and_read_separately(tmp_path):
    kspace, measured = noise(1, 3, 8, 6), noise(3, 101, seed=1)
    path = write_ismrmrd(tmp_path / "a.h5", kspace, noise=measured)
    np.testing.assert_array_equal(read_ismrmrd(path).kspace, kspace)
    np.testing.assert_array_equal(read_noise(path), measured)
    lines = [(measured, flag(NOISE), {}), (measured[:, :7], flag(NOISE), {}), line(kspace[0, ..., 0], 0)]
    path = write_raw(tmp_path / "b.h5", lines, (8, 6, 1))
    np.testing.assert_array_equal(read_noise(path), np.concatenate([measured, measured[:, :7]], axis=1))
    with pytest.raises(ValueError, match=r"c\.h5: no noise measurement among 6 acquisitions"):
        read_noise(write_ismrmrd(tmp_path / "c.h5", kspace))
    with pytest.raises(ValueError, match=r"d\.h5: none of 1 acquisitions is of an image"):
        read_ismrmrd(write_raw(tmp_path / "d.h5", lines[:1], (8, 6, 1)))


@pytest.mark.parametrize("number", [23, 24, 26, 27, 28, 29, 30, 31])
def test_acquisitions_that_are_no_image_are_left_out(tmp_path, number):
    values = noise(7, 1, 8)
    lines = [line(v, n) for n, v in enumerate(values[:6])] + [line(values[6], 2, flag(number))]
    np.testing.assert_array_equal(
        read_ismrmrd(write_raw(tmp_path / "a.h5", lines, (8, 6, 1))).kspace[0], values[:6, 0].T
    )


def test_calibration_lines_belong_to_the_image_if_they_are_embedded(tmp_path):
    values = noise(6, 1, 8)
    lines = [line(v, n, flag(CALIBRATION) if n in (1, 3) else {}) for n, v in enumerate(values)]

    def mode(word):
        mode = f"<parallelImaging><calibrationMode>{word}</calibrationMode></parallelImaging></encoding>"
        return lambda xml: xml.replace("</encoding>", mode)

    scan = read_ismrmrd(write_raw(tmp_path / "a.h5", lines, (8, 6, 1), mode("embedded")))
    assert scan.mask is None
    for name, edit in (("b.h5", mode("separate")), ("c.h5", lambda xml: xml)):
        scan = read_ismrmrd(write_raw(tmp_path / name, lines, (8, 6, 1), edit))
        np.testing.assert_array_equal(scan.mask, [[1, 0, 1, 0, 1, 1]])
    both = [line(v, n, {"flags": 1 << 20}) for n, v in enumerate(values)]
    assert read_ismrmrd(write_raw(tmp_path / "d.h5", both, (8, 6, 1), mode("separate"))).mask is None


def test_partial_echo_and_discarded_samples(tmp_path):
    values = noise(6, 2, 8)
    short = [line(v[:, 3:], n, {"center_sample": 1}) for n, v in enumerate(values)]
    scan = read_ismrmrd(write_raw(tmp_path / "a.h5", short, (8, 6, 1)))
    np.testing.assert_array_equal(scan.kspace[0, :, 3:], values[..., 3:].transpose(1, 2, 0))
    assert not scan.kspace[0, :, :3].any()
    np.testing.assert_array_equal(np.asarray(scan.mask)[:, 0], [0, 0, 0, 1, 1, 1, 1, 1])
    head = {"discard_pre": 2, "discard_post": 1, "center_sample": 6}
    longer = [line(np.pad(v, ((0, 0), (2, 1))), n, head) for n, v in enumerate(values)]
    scan = read_ismrmrd(write_raw(tmp_path / "b.h5", longer, (8, 6, 1)))
    np.testing.assert_array_equal(scan.kspace[0], values.transpose(1, 2, 0))
    unset = [line(v, n, {"center_sample": 0}) for n, v in enumerate(values)]  # many writers leave it at 0
    scan = read_ismrmrd(write_raw(tmp_path / "c.h5", unset, (8, 6, 1)))
    np.testing.assert_array_equal(scan.kspace[0], values.transpose(1, 2, 0))


@pytest.mark.parametrize(("rows", "kept"), [(16, 8), (15, 7), (10, 5)])
def test_oversampling_is_removed_along_the_readout_alone(tmp_path, rows, kept):
    kspace, mask = noise(2, 3, rows, 6), np.array([[1, 1, 0, 1, 0, 1]])
    path = write_ismrmrd(tmp_path / "a.h5", kspace, mask, crop=(kept, 4))
    full, scan = read_ismrmrd(path), read_ismrmrd(path, remove_oversampling=True)
    assert (full.kspace.shape[-2:], full.crop) == ((rows, 6), (kept, 4))
    assert (scan.kspace.shape[-2:], scan.crop) == ((kept, 6), (kept, 4))
    start = (rows - kept) // 2
    expected = ifft2c(kspace * mask)[..., start : start + kept, :]
    np.testing.assert_allclose(ifft2c(scan.kspace), expected, atol=1e-5)
    np.testing.assert_array_equal(scan.mask, mask)
    np.testing.assert_array_equal(scan.kspace * scan.mask, scan.kspace)
    assert scan.voxel_size == full.voxel_size


def test_oversampling_of_a_partial_echo(tmp_path):
    short = [line(v[:, 6:], n, {"center_sample": 2}) for n, v in enumerate(noise(6, 2, 16))]
    edit = lambda xml: xml.replace("<reconSpace><matrixSize><x>16</x>", "<reconSpace><matrixSize><x>8</x>").replace(
        "<z>1</z></matrixSize><fieldOfView_mm><x>16</x><y>6</y><z>1</z></fieldOfView_mm></reconSpace>",
        "<z>1</z></matrixSize><fieldOfView_mm><x>8</x><y>6</y><z>1</z></fieldOfView_mm></reconSpace>",
    )
    scan = read_ismrmrd(write_raw(tmp_path / "a.h5", short, (16, 6, 1), edit), remove_oversampling=True)
    np.testing.assert_array_equal(np.asarray(scan.mask)[:, 0], [0, 0, 0, 1, 1, 1, 1, 1])
    np.testing.assert_array_equal(scan.kspace * scan.mask, scan.kspace)


@pytest.mark.parametrize("coils", [1, 2])
def test_partitions_become_slices_along_the_readout(tmp_path, coils):
    volume = noise(2, coils, 5, 8, 6)  # repetition, coil, z, y (readout), x
    sampled = np.random.default_rng(1).uniform(size=(5, 6)) < 0.6
    lines = [
        line(volume[r, :, z, :, x], x, kspace_encode_step_2=z, repetition=r)
        for r, z, x in np.ndindex(2, 5, 6)
        if sampled[z, x]
    ]
    path = write_raw(tmp_path / "a.h5", lines, (8, 6, 5))
    scan = read_ismrmrd(path)
    hybrid = ifft1c(volume * sampled[:, None], axis=-2)  # position along the readout on axis 3
    expected = hybrid.transpose(0, 3, 1, 2, 4).reshape(16, coils, 5, 6)
    assert scan.kspace.shape == ismrmrd_shape(path) == (16, *((coils,) if coils > 1 else ()), 5, 6)
    np.testing.assert_allclose(scan.kspace.reshape(expected.shape), expected, atol=1e-6)
    np.testing.assert_array_equal(scan.mask, sampled)
    part = read_ismrmrd(path, slices=(5, 9))
    np.testing.assert_array_equal(part.kspace, scan.kspace[5:10])
    np.testing.assert_array_equal(part.mask, sampled)
    np.testing.assert_array_equal(read_ismrmrd(path, slices=(9, 9)).kspace, scan.kspace[9:10])


def test_voxel_sizes_of_a_volume_are_along_readout_partition_and_line(tmp_path):
    lines = [line(noise(1, 8), x, kspace_encode_step_2=z) for z, x in np.ndindex(5, 6)]
    edit = lambda xml: xml.replace("<x>8</x><y>6</y><z>5</z></fieldOfView", "<x>16</x><y>18</y><z>20</z></fieldOfView")
    scan = read_ismrmrd(write_raw(tmp_path / "a.h5", lines, (8, 6, 5), edit))
    assert scan.voxel_size == pytest.approx((2, 4, 3))
    assert scan.crop == (5, 6)


def test_several_encodings_are_listed_and_chosen(tmp_path):
    def edit(xml):
        start, end = xml.index("<encoding>"), xml.index("</encoding>") + len("</encoding>")
        second = xml[start:end].replace(
            "<x>8</x><y>6</y><z>1</z></matrixSize>", "<x>4</x><y>3</y><z>1</z></matrixSize>"
        )
        return xml[:end] + second.replace("<center>3<", "<center>1<") + xml[end:]

    first, second = noise(6, 2, 8), noise(3, 2, 4)
    lines = [line(v, n) for n, v in enumerate(first)]
    lines += [line(v, n, {"encoding_space_ref": 1}) for n, v in enumerate(second)]
    path = write_raw(tmp_path / "a.h5", lines, (8, 6, 1), edit)
    message = r"a\.h5: 2 encodings in use \(0: 8 x 6 x 1 cartesian, 1: 4 x 3 x 1 cartesian\); choose one"
    for read in (read_ismrmrd, ismrmrd_shape):
        with pytest.raises(ValueError, match=message):
            read(path)
    np.testing.assert_array_equal(read_ismrmrd(path, encoding=0).kspace[0], first.transpose(1, 2, 0))
    np.testing.assert_array_equal(read_ismrmrd(path, encoding=1).kspace[0], second.transpose(1, 2, 0))
    with pytest.raises(ValueError, match=r"a\.h5: no acquisitions of encoding 2, .* in use are 0: 8 x 6"):
        read_ismrmrd(path, encoding=2)
    only = write_raw(tmp_path / "b.h5", lines[6:], (8, 6, 1), edit)  # the other encoding is in the header only
    assert read_ismrmrd(only).kspace.shape == (1, 2, 4, 3)


def test_the_image_of_a_written_phantom_is_the_phantom(tmp_path):
    phantom = phantom_volume(0, (2, 32, 24), coils=4)
    scan = read_ismrmrd(write_ismrmrd(tmp_path / "a.h5", phantom.kspace))
    image = np.sqrt((np.abs(ifft2c(scan.kspace)) ** 2).sum(axis=1))
    np.testing.assert_allclose(image, np.asarray(phantom.target), atol=1e-6)


@pytest.mark.parametrize(
    ("lines", "edit", "message"),
    [
        ([line(noise(1, 8), 6)], None, r"acquisition 0 has kspace_encode_step_1 = 6, outside the 6 .*\(centre 3\)"),
        ([line(noise(1, 8), 0, kspace_encode_step_2=1)], None, "kspace_encode_step_2 = 1, outside the 1"),
        ([line(noise(1, 9), 0)], None, "acquisition 0 has 9 samples with centre 4, which do not fit the 8"),
        ([line(noise(1, 5), 0, {"center_sample": 5})], None, "has 5 samples with centre 5"),
        ([line(noise(1, 8), 0), line(noise(2, 8), 1)], None, r"acquisitions of \[1, 2\] coils in one scan"),
        ([line(noise(1, 8), 0, {"number_of_samples": 7})], None, "holds 16 floats, but its head says 1 coils of 7"),
        (
            [line(noise(1, 8), 0, flag(REVERSE)), line(noise(1, 8), 1)],
            None,
            "readouts in both directions in frame 0; correct their phase",
        ),
        ([line(noise(1, 8), 0, {"encoding_space_ref": 3})], None, "no acquisitions of encoding 3, or no header"),
        ([line(noise(1, 8), 0)], ("cartesian", "spiral"), "trajectory 'spiral', only 'cartesian' .*NonCartesian"),
        ([line(noise(1, 8), 0)], ("cartesian", "epi"), "trajectory 'epi'"),
        ([line(noise(1, 8), 0)], ("</encoding>", ""), "the header is not XML .*; repair '/dataset/xml'"),
        ([line(noise(1, 8), 0)], ("encodedSpace", "space"), "the header has no encoding/encodedSpace/matrixSize/x"),
        (
            [line(noise(1, 8), 0)],
            ("<y>6</y>", "<y>six</y>"),
            "matrixSize/y = 'six', expected a number; repair '/dataset/xml'",
        ),
    ],
)
def test_invalid_measurements_raise(tmp_path, lines, edit, message):
    change = (lambda xml: xml) if edit is None else (lambda xml: xml.replace(*edit))
    path = write_raw(tmp_path / "a.h5", lines, (8, 6, 1), change)
    with pytest.raises(ValueError, match=r"a\.h5: " + ".*" + message):
        read_ismrmrd(path)


def test_invalid_files_raise(tmp_path):
    with pytest.raises(ValueError, match=r"none\.h5: no such file"):
        read_ismrmrd(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("text")
    with pytest.raises(ValueError, match=r"text\.h5: truncated, or not an HDF5 file"):
        read_ismrmrd(tmp_path / "text.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["kspace"] = np.ones(3)
    with pytest.raises(ValueError, match=r"other\.h5: no group with 'data' and 'xml' among \['kspace'\]"):
        read_ismrmrd(tmp_path / "other.h5")
    with h5py.File(tmp_path / "image.h5", "w") as file:
        file["dataset/data"], file["dataset/xml"] = np.ones(3), ["<a/>"]
    with pytest.raises(ValueError, match=r"image\.h5: '/dataset/data' holds float64 \(3,\), no acquisitions"):
        read_ismrmrd(tmp_path / "image.h5")


def test_the_group_may_have_another_name(tmp_path):
    lines = [line(v, n) for n, v in enumerate(noise(6, 2, 8))]
    path = write_raw(tmp_path / "a.h5", lines, (8, 6, 1), group="scan_1")
    assert read_ismrmrd(path).kspace.shape == (1, 2, 8, 6)
    with h5py.File(path, "r+") as file:
        file.copy("scan_1", "scan_2")
    with pytest.raises(ValueError, match=r"a\.h5: several groups with 'data' and 'xml' among \['scan_1', 'scan_2'\]"):
        read_ismrmrd(path)
    with h5py.File(path, "r+") as file:
        file.move("scan_2", "dataset")
    assert read_ismrmrd(path).kspace.shape == (1, 2, 8, 6)


def limits(first, last, centre):
    return lambda xml: re.sub(
        r"(<kspace_encoding_step_1>).*(</kspace_encoding_step_1>)",
        rf"\g<1><minimum>{first}</minimum><maximum>{last}</maximum><center>{centre}</center>\g<2>",
        xml,
    )


def test_lower_phase_resolution_is_padding_and_partial_fourier_is_a_mask(tmp_path):
    values = noise(6, 2, 8)
    lines = [line(v, n) for n, v in enumerate(values)]
    scan = read_ismrmrd(write_raw(tmp_path / "a.h5", lines, (8, 10, 1), limits(0, 5, 3)))
    assert (scan.mask, scan.padding) == (None, (2, 8))
    np.testing.assert_array_equal(scan.kspace[0, :, :, 2:8], values.transpose(1, 2, 0))
    assert not scan.kspace[..., [0, 1, 8, 9]].any()
    assert describe(scan) == "a.h5, ISMRMRD HDF5: 1 slice, 2 coils, 8 x 10, columns 2 to 7 all sampled, 1 x 1 x 1 mm"
    scan = read_ismrmrd(
        write_raw(tmp_path / "b.h5", lines, (8, 8, 1), limits(0, 5, 2))
    )  # two lines left out on one side
    np.testing.assert_array_equal(scan.mask, [[0, 0, 1, 1, 1, 1, 1, 1]])
    scan = read_ismrmrd(write_raw(tmp_path / "c.h5", lines[:3] + lines[4:], (8, 10, 1), limits(0, 5, 3)))
    np.testing.assert_array_equal(scan.mask, [[0, 0, 1, 1, 1, 0, 1, 1, 0, 0]])


def calibration_mode(word):
    mode = f"<parallelImaging><calibrationMode>{word}</calibrationMode></parallelImaging></encoding>"
    return lambda xml: xml.replace("</encoding>", mode)


@pytest.mark.parametrize("mode", ["embedded", "interleaved", "separate", "other", "external", "EMBEDDED"])
@pytest.mark.parametrize("coils", [1, 3])
def test_calibration_lines_of_every_mode_can_be_read(tmp_path, mode, coils):
    values = noise(12, coils, 16)
    lines = [line(values[n], n, flag(CALIBRATION_AND_IMAGE) if 4 <= n < 8 else {}) for n in range(0, 12, 2)]
    lines += [line(values[n], n, flag(CALIBRATION)) for n in (5, 7)]
    path = write_raw(tmp_path / "a.h5", lines, (16, 12, 1), calibration_mode(mode))
    calibration, image = read_calibration(path), read_ismrmrd(path)
    np.testing.assert_array_equal(calibration.mask, [[0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0]])
    expected = np.zeros((coils, 16, 12), np.complex64)
    expected[:, :, 4:8] = values[4:8].transpose(1, 2, 0)
    np.testing.assert_array_equal(calibration.kspace[0].reshape(expected.shape), expected)
    assert image.mask is not None
    left_out = 0 if mode.lower() == "embedded" else 2
    np.testing.assert_array_equal(image.mask[0, [5, 7]], [left_out == 0] * 2)
    np.testing.assert_array_equal(image.mask[0, ::2], 1)
    assert ("2 calibration lines left out" in describe(image)) == (left_out > 0)


def test_calibration_lines_have_frames_and_an_encoding_of_their_own(tmp_path):
    def edit(xml):
        start, end = xml.index("<encoding>"), xml.index("</encoding>") + len("</encoding>")
        second = xml[start:end].replace("<y>6</y><z>1</z></matrixSize>", "<y>4</y><z>1</z></matrixSize>")
        return xml[:end] + second.replace("<center>3<", "<center>2<") + xml[end:]

    image, low = noise(3, 6, 2, 8), noise(4, 2, 8)
    lines = [line(v, n, repetition=r) for r, some in enumerate(image) for n, v in enumerate(some)]
    lines += [line(v, n, flag(CALIBRATION) | {"encoding_space_ref": 1}) for n, v in enumerate(low)]
    path = write_raw(tmp_path / "a.h5", lines, (8, 6, 1), edit)
    assert read_ismrmrd(path).kspace.shape == (3, 2, 8, 6)
    calibration = read_calibration(path)
    np.testing.assert_array_equal(calibration.kspace[0], low.transpose(1, 2, 0))
    assert (calibration.kspace.shape, calibration.mask) == ((1, 2, 8, 4), None)
    with pytest.raises(ValueError, match=r"a\.h5: no calibration lines among 18"):
        read_calibration(write_raw(tmp_path / "a.h5", lines[:18], (8, 6, 1), edit))


def test_short_readouts_and_averages_are_counted_point_by_point(tmp_path):
    """Slice 0: full readouts, and one line of which a short readout is averaged. Slice 1: short readouts."""
    values = noise(2, 6, 2, 8)
    lines = [line(v, n) for n, v in enumerate(values[0])]
    lines += [line(3 * values[0, 2][:, 3:], 2, {"center_sample": 1}, average=1)]
    lines += [line(v[:, 2:], n, {"center_sample": 2}, slice=1) for n, v in enumerate(values[1])]
    scan = read_ismrmrd(write_raw(tmp_path / "a.h5", lines, (8, 6, 1)))
    expected = values.transpose(0, 2, 3, 1).copy()
    expected[0, :, 3:, 2] *= 2  # the mean of v and 3 v
    expected[1, :, :2] = 0
    np.testing.assert_allclose(scan.kspace, expected, atol=1e-6)
    mask = np.broadcast_to(np.asarray(scan.mask), (2, 8, 6))
    np.testing.assert_array_equal(mask, np.abs(expected).any(axis=1))


def test_readouts_of_different_lengths_give_a_mask_of_points(tmp_path):
    values = noise(6, 2, 9)
    lines = [line(v[:, n:], n, {"center_sample": 4 - n}) if n < 4 else line(v, n) for n, v in enumerate(values)]
    scan = read_ismrmrd(write_raw(tmp_path / "a.h5", lines, (9, 6, 1)))
    expected = np.arange(9)[:, None] >= np.array([0, 1, 2, 3, 0, 0])
    np.testing.assert_array_equal(scan.mask, expected)
    np.testing.assert_array_equal(scan.kspace[0], values.transpose(1, 2, 0) * expected)


@pytest.mark.parametrize("rows", [16, 15])
@pytest.mark.parametrize("coils", [1, 4])
def test_reversed_echoes_are_flipped_frame_by_frame(tmp_path, rows, coils):
    kspace = noise(3, coils, rows, 6)
    lines = [
        line(kspace[e, :, :: -1 if e == 1 else 1, n], n, flag(REVERSE) if e == 1 else {}, contrast=e)
        for e in range(3)
        for n in range(6)
    ]
    path = write_raw(tmp_path / "a.h5", lines, (rows, 6, 1))
    np.testing.assert_array_equal(read_ismrmrd(path).kspace.reshape(kspace.shape), kspace)
    np.testing.assert_array_equal(read_ismrmrd(path, (1, 1)).kspace.reshape(kspace.shape[1:]), kspace[1])
    lines[13][1]["flags"] = 1 << (REVERSE - 1)  # frame 2 has both directions now
    path = write_raw(tmp_path / "b.h5", lines, (rows, 6, 1))
    np.testing.assert_array_equal(read_ismrmrd(path, (0, 1)).kspace.reshape(2, *kspace.shape[1:]), kspace[:2])
    with pytest.raises(ValueError, match=r"b\.h5: readouts in both directions in frame 2"):
        read_ismrmrd(path)


def test_short_reversed_readouts_are_placed_by_their_centre(tmp_path):
    values = noise(6, 2, 8)
    head = {"center_sample": 3, "discard_pre": 0, "discard_post": 1} | flag(REVERSE)
    lines = [line(np.pad(v[:, :2:-1], ((0, 0), (0, 1))), n, head | {"center_sample": 3}) for n, v in enumerate(values)]
    scan = read_ismrmrd(write_raw(tmp_path / "a.h5", lines, (8, 6, 1)))
    np.testing.assert_array_equal(scan.kspace[0, :, 3:], values[..., 3:].transpose(1, 2, 0))
    np.testing.assert_array_equal(np.asarray(scan.mask)[:, 0], [0, 0, 0, 1, 1, 1, 1, 1])


def test_short_readouts_of_a_volume_are_a_warning(tmp_path):
    lines = [line(noise(1, 5), x, {"center_sample": 1}, kspace_encode_step_2=z) for z, x in np.ndindex(3, 6)]
    with pytest.warns(ScanWarning, match=r"a\.h5: a 3-D scan with short readouts"):
        read_ismrmrd(write_raw(tmp_path / "a.h5", lines, (8, 6, 3)))


def test_without_recon_space_it_is_the_encoded_space(tmp_path):
    values = noise(6, 2, 8)
    edit = lambda xml: re.sub("<reconSpace>.*</reconSpace>", "", xml)
    lines = [line(v, n) for n, v in enumerate(values)]
    scan = read_ismrmrd(write_raw(tmp_path / "a.h5", lines, (8, 6, 1), edit), remove_oversampling=True)
    np.testing.assert_array_equal(scan.kspace[0], values.transpose(1, 2, 0))
    assert (scan.mask, scan.crop, scan.voxel_size) == (None, (8, 6), (1, 1, 1))


def with_echo(peak, columns, rows=8, coils=2):
    """Lines of weak noise with a strong echo at one line, (line, coil, row)."""
    values = 1e-3 * noise(columns, coils, rows)
    values[peak, :, rows // 2] = 100
    return values


@pytest.mark.parametrize(
    ("peak", "centre", "user", "messages"),
    [
        (24, 24, 0, []),
        (25, 24, 0, []),
        (10, 24, 0, ["largest at x = 18"]),
        (40, 24, 0, ["largest at x = 48"]),
        (24, 20, 24, [r"is 20 in the header, but 24 in idx\.user\[5\]", "largest at x = 36"]),
        (24, 24, 24, []),
        (24, 24, 30, [r"is 24 in the header, but 30 in idx"]),
        (24, 24, 9999, []),
    ],
)
def test_a_centre_that_disagrees_with_the_data_is_a_warning(tmp_path, peak, centre, user, messages):
    values = with_echo(peak, 48)
    lines = [line(v, n, user=[0, 0, 0, 0, 0, user, 0, 0]) for n, v in enumerate(values)]
    path = write_raw(tmp_path / "a.h5", lines, (8, 64, 1), limits(0, 47, centre))
    start = 32 - centre
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        scan = read_ismrmrd(path)
    texts = [str(one.message) for one in found if issubclass(one.category, ScanWarning)]
    assert len(texts) == len(messages)
    for text, message in zip(texts, messages):
        assert re.search(message, text)
        assert "a.h5" in text
    np.testing.assert_array_equal(scan.kspace[0][..., start + peak], values[peak])  # placed by the header


@pytest.mark.parametrize("seed", range(5))
def test_noise_and_phantoms_give_no_warning(tmp_path, seed):
    kspace = noise(1, 2, 64, 48, seed=seed) if seed % 2 else phantom_volume(seed, (2, 64, 48), coils=2).kspace
    with warnings.catch_warnings():
        warnings.simplefilter("error", ScanWarning)
        read_ismrmrd(write_ismrmrd(tmp_path / "a.h5", kspace))


def test_a_group_can_be_chosen(tmp_path):
    values = noise(6, 2, 8)
    lines = [line(v, n, flag(CALIBRATION_AND_IMAGE)) for n, v in enumerate(values)] + [(values[0], flag(NOISE), {})]
    path = write_raw(tmp_path / "a.h5", lines, (8, 6, 1), group="one")
    other = write_raw(tmp_path / "b.h5", [line(2 * v, n) for n, v in enumerate(values)], (8, 6, 1), group="two")
    with h5py.File(path, "r+") as file, h5py.File(other) as second:
        second.copy("two", file)
        second.copy("two", file, name="deep/two")
    with pytest.raises(ValueError, match=r"choose one, read_ismrmrd\(path, group='one'\)"):
        read_ismrmrd(path)
    np.testing.assert_array_equal(read_ismrmrd(path, group="one").kspace[0], values.transpose(1, 2, 0))
    for group in ("two", "/two", "deep/two"):
        np.testing.assert_array_equal(read_ismrmrd(path, group=group).kspace[0], 2 * values.transpose(1, 2, 0))
    np.testing.assert_array_equal(read_calibration(path, group="one").kspace[0], values.transpose(1, 2, 0))
    np.testing.assert_array_equal(read_noise(path, group="one"), values[0])
    for group in ("three", "one/data", "", "deep"):
        with pytest.raises(ValueError, match=r"a\.h5: no group .* with 'data' and 'xml'; these groups have them"):
            read_ismrmrd(path, group=group)


@pytest.mark.parametrize(
    "change",
    [
        ("<x>8</x>", "<x>1000000000000</x>"),
        ("<x>8</x>", "<x>" + "9" * 5000 + "</x>"),
        ("<x>8</x>", "<x>0</x>"),
        ("<x>8</x>", "<x>-8</x>"),
        ("<x>8</x>", "<x>nan</x>"),
        ("<x>8</x>", "<x>\x1b[31m</x>"),
        ("<x>8</x><y>6</y><z>1</z></matrixSize>", "<x>8</x><y>60000</y><z>60000</z></matrixSize>"),
        ("<fieldOfView_mm><x>8</x>", "<fieldOfView_mm><x>inf</x>"),
        ("<maximum>5</maximum>", "<maximum>1e99</maximum>"),
        ("<center>3</center>", "<center>99999999999</center>"),
        ("cartesian", "\u2066cartesian"),
    ],
)
def test_impossible_numbers_in_the_header_raise(tmp_path, change):
    lines = [line(v, n) for n, v in enumerate(noise(6, 2, 8))]
    path = write_raw(tmp_path / "a.h5", lines, (8, 6, 1), lambda xml: xml.replace(*change))
    with pytest.raises(ValueError, match=r"a\.h5") as caught:
        read_ismrmrd(path)
    text = str(caught.value)
    assert len(text) < 600
    assert text.isprintable()


def test_a_header_whose_entities_expand_without_end_raises(tmp_path):
    entities = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
    bomb = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a0 "lol">{entities}]>'
    lines = [line(noise(2, 8), 0)]
    edit = lambda xml: bomb + xml.removeprefix('<?xml version="1.0"?>').replace("cartesian", "&a11;")
    with pytest.raises(ValueError, match=r"a\.h5: the header is not XML"):
        read_ismrmrd(write_raw(tmp_path / "a.h5", lines, (8, 6, 1), edit))
