"""Forward models, coil sensitivities, k-space completion and simulated noise."""

from deqjax.physics.calibration_region import CalibrationWarning
from deqjax.physics.coils import combine_coils, compress_coils, compression_matrix, prewhiten, rss, whitening_matrix
from deqjax.physics.eigenvector_maps import espirit
from deqjax.physics.fourier import fft2c, fftc, filter_frequencies, ifft2c, ifftc
from deqjax.physics.linear_solvers import conjugate_gradient, largest_eigenvalue
from deqjax.physics.masked_fourier import MaskedFourier
from deqjax.physics.non_cartesian import NonCartesian, toeplitz_spectrum
from deqjax.physics.operator_tests import dot_product_gap
from deqjax.physics.other_problems import Blur, CompressedSensing, Inpainting, gaussian_matrix
from deqjax.physics.parallel_imaging import grappa
from deqjax.physics.partial_fourier import conjugate_symmetry, pocs
from deqjax.physics.phase import PhaseModulated, smooth_phase
from deqjax.physics.sense import Sense
from deqjax.physics.sensitivities import LearnedSmaps, low_resolution_smaps, normalise_smaps, walsh_smaps
from deqjax.physics.simulate import add_noise, complex_noise
from deqjax.physics.whole_masks import with_whole_mask

__all__ = [
    "Blur",
    "CalibrationWarning",
    "CompressedSensing",
    "Inpainting",
    "LearnedSmaps",
    "MaskedFourier",
    "NonCartesian",
    "PhaseModulated",
    "Sense",
    "add_noise",
    "combine_coils",
    "complex_noise",
    "compress_coils",
    "compression_matrix",
    "conjugate_gradient",
    "conjugate_symmetry",
    "dot_product_gap",
    "espirit",
    "fft2c",
    "fftc",
    "filter_frequencies",
    "gaussian_matrix",
    "grappa",
    "ifft2c",
    "ifftc",
    "largest_eigenvalue",
    "low_resolution_smaps",
    "normalise_smaps",
    "pocs",
    "prewhiten",
    "rss",
    "smooth_phase",
    "toeplitz_spectrum",
    "walsh_smaps",
    "whitening_matrix",
    "with_whole_mask",
]
