"""Tests of reading ISMRMRD: positions of lines, acquisitions that are left out or averaged, and errors."""

import re

import h5py
import numpy as np
import pytest

from deqjax.data import describe, phantom_volume, read_ismrmrd, read_noise, write_ismrmrd
from deqjax.data.formats.ismrmrd import ismrmrd_shape
from deqjax.data.formats.ismrmrd_acquisitions import ACQUISITION, CALIBRATION, NOISE, REVERSE
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
        ([line(noise(1, 8), 0, flag(REVERSE))], None, "readouts in both directions; correct their phase"),
        ([line(noise(1, 8), 0, {"encoding_space_ref": 3})], None, "no acquisitions of encoding 3, or no header"),
        ([line(noise(1, 8), 0)], ("cartesian", "spiral"), "trajectory 'spiral', only 'cartesian' .*NonCartesian"),
        ([line(noise(1, 8), 0)], ("cartesian", "epi"), "trajectory 'epi'"),
        ([line(noise(1, 8), 0)], ("</encoding>", ""), "the header is not XML .*; repair '/dataset/xml'"),
        ([line(noise(1, 8), 0)], ("encodedSpace", "space"), "the header has no encoding/encodedSpace/matrixSize/x"),
        (
            [line(noise(1, 8), 0)],
            ("<y>6</y>", "<y>six</y>"),
            "matrixSize/y = 'six', expected a number .*repair '/dataset/xml'",
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
