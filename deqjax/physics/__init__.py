"""What the scanner does: forward models, coil sensitivities and simulated noise."""

from deqjax.physics.blur import Blur
from deqjax.physics.coils import combine_coils, low_resolution_smaps, rss
from deqjax.physics.compress_coils import compress_coils, compression_matrix
from deqjax.physics.compressed_sensing import CompressedSensing, gaussian_matrix
from deqjax.physics.conjugate_gradient import conjugate_gradient
from deqjax.physics.dot_product import dot_product_gap
from deqjax.physics.espirit import espirit
from deqjax.physics.fourier import fft2c, fftc, filter_frequencies, ifft2c, ifftc
from deqjax.physics.grappa import grappa
from deqjax.physics.inpainting import Inpainting
from deqjax.physics.largest_eigenvalue import largest_eigenvalue
from deqjax.physics.learned_smaps import LearnedSmaps
from deqjax.physics.masked_fourier import MaskedFourier
from deqjax.physics.modulated import Modulated, smooth_phase
from deqjax.physics.non_cartesian import NonCartesian, toeplitz_spectrum
from deqjax.physics.partial_fourier import conjugate_symmetry, pocs
from deqjax.physics.prewhiten import prewhiten, whitening_matrix
from deqjax.physics.sense import Sense
from deqjax.physics.simulate import add_noise, complex_noise
from deqjax.physics.walsh import walsh_smaps

__all__ = [
    "Blur",
    "CompressedSensing",
    "Inpainting",
    "LearnedSmaps",
    "MaskedFourier",
    "Modulated",
    "NonCartesian",
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
    "pocs",
    "prewhiten",
    "rss",
    "smooth_phase",
    "toeplitz_spectrum",
    "walsh_smaps",
    "whitening_matrix",
]
