"""Host-side data in NumPy and h5py: reading and writing files, training batches, and a data set of invented heads."""

from deqjax.data.acquisitions import Acquisitions, MeasuredBatch
from deqjax.data.augment import Augment
from deqjax.data.batches import Batch, batch_at, prefetch
from deqjax.data.crop import crop_field_of_view, crop_image, crop_kspace, lower_resolution
from deqjax.data.formats.bart import read_bart, read_cfl, write_bart, write_cfl
from deqjax.data.formats.dicom import write_dicom
from deqjax.data.formats.fastmri import read_slice, read_volume, write_submission, write_volume
from deqjax.data.formats.ismrmrd import read_calibration, read_ismrmrd
from deqjax.data.formats.ismrmrd_acquisitions import read_noise
from deqjax.data.formats.ismrmrd_writing import write_ismrmrd
from deqjax.data.formats.nifti import read_nifti, write_nifti
from deqjax.data.formats.npz import read_npz, write_npz
from deqjax.data.mixed_batches import scan_batches
from deqjax.data.motion import RandomMotion
from deqjax.data.noise_level import energy_scale, estimate_noise
from deqjax.data.phantoms.coil_maps import birdcage_maps
from deqjax.data.phantoms.volumes import phantom_image, phantom_volume, write_phantoms
from deqjax.data.scan import Scan, ScanWarning, describe
from deqjax.data.scan_files import list_files, open_scan, scan_shape
from deqjax.data.slices import Slices

__all__ = [
    "Acquisitions",
    "Augment",
    "Batch",
    "MeasuredBatch",
    "RandomMotion",
    "Scan",
    "ScanWarning",
    "Slices",
    "batch_at",
    "birdcage_maps",
    "crop_field_of_view",
    "crop_image",
    "crop_kspace",
    "describe",
    "energy_scale",
    "estimate_noise",
    "list_files",
    "lower_resolution",
    "open_scan",
    "phantom_image",
    "phantom_volume",
    "prefetch",
    "read_bart",
    "read_calibration",
    "read_cfl",
    "read_ismrmrd",
    "read_nifti",
    "read_noise",
    "read_npz",
    "read_slice",
    "read_volume",
    "scan_batches",
    "scan_shape",
    "write_bart",
    "write_cfl",
    "write_dicom",
    "write_ismrmrd",
    "write_nifti",
    "write_npz",
    "write_phantoms",
    "write_submission",
    "write_volume",
]
