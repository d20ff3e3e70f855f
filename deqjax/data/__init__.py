"""Host side, NumPy and h5py: files in, batches out, and an embedded data set of invented brains."""

from deqjax.data.augment import Augment
from deqjax.data.bart import read_bart, write_bart
from deqjax.data.batches import Batch, batch_at
from deqjax.data.birdcage import birdcage_maps
from deqjax.data.cfl import read_cfl, write_cfl
from deqjax.data.crop import crop_field_of_view, crop_image, crop_kspace, lower_resolution
from deqjax.data.describe import describe
from deqjax.data.dicom import write_dicom
from deqjax.data.fastmri import read_slice, read_volume
from deqjax.data.ismrmrd import read_ismrmrd
from deqjax.data.ismrmrd_acquisitions import read_noise
from deqjax.data.list_files import list_files
from deqjax.data.nifti import read_nifti, write_nifti
from deqjax.data.npz import read_npz, write_npz
from deqjax.data.open_scan import open_scan, scan_shape
from deqjax.data.phantom import phantom_image, phantom_volume, write_phantoms
from deqjax.data.prefetch import prefetch
from deqjax.data.scan import Scan
from deqjax.data.scan_batches import scan_batches
from deqjax.data.slices import Slices
from deqjax.data.write import write_submission, write_volume
from deqjax.data.write_ismrmrd import write_ismrmrd

__all__ = [
    "Augment",
    "Batch",
    "Scan",
    "Slices",
    "batch_at",
    "birdcage_maps",
    "crop_field_of_view",
    "crop_image",
    "crop_kspace",
    "describe",
    "list_files",
    "lower_resolution",
    "open_scan",
    "phantom_image",
    "phantom_volume",
    "prefetch",
    "read_bart",
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
