"""DE-Prox in plain PyTorch, with which reconstruction.py compares deqjax: the same mathematics, written from the paper.

This file has no command of its own; python benchmarks/reconstruction.py uses it. The mixing weights of Anderson and the
units are those of deqjax, so that both do the same work. The solve records no autograd graph. There is one graph at the
solution, and the backward solve uses its vector-Jacobian product repeatedly.

Source: D. Gilton, G. Ongie, R. Willett, "Deep equilibrium architectures for inverse problems in imaging", IEEE Trans.
Comput. Imaging 7:1123, 2021, section III.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import torch
from torch.nn import functional

Image: TypeAlias = torch.Tensor
"""Complex images (batch, y, x)."""


class DnCNN(torch.nn.Module):
    """The network ``x + N(x)`` on complex images (batch, y, x). All its tensors have one memory format."""

    def __init__(self, layers: int, features: int, memory_format: torch.memory_format):
        super().__init__()
        widths = [2, *[features] * (layers - 1), 2]
        self.convs = torch.nn.ModuleList(torch.nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(widths))
        self.memory_format = memory_format
        self.to(memory_format=memory_format)

    def forward(self, image: Image) -> Image:
        out = torch.view_as_real(image).permute(0, 3, 1, 2).contiguous(memory_format=self.memory_format)
        for conv in self.convs[:-1]:
            out = functional.relu_(conv(out))
        noise = self.convs[-1](out).permute(0, 2, 3, 1).contiguous()
        return image + torch.view_as_complex(noise)

    def load(self, params: dict) -> "DnCNN":
        """Copy the weights of a linen DnCNN, ``{"conv_0": {"kernel", "bias"}, ...}``."""
        with torch.no_grad():
            for index, conv in enumerate(self.convs):
                kernel, bias = (np.array(params[f"conv_{index}"][name]) for name in ("kernel", "bias"))
                conv.weight.copy_(torch.from_numpy(kernel).permute(3, 2, 0, 1))
                conv.bias.copy_(torch.from_numpy(bias))
        return self


def anderson(f: Callable[[Image], Image], x: Image, steps: int, history: int = 5, ridge: float = 1e-2) -> Image:
    """Evaluate f ``steps`` times, and return the x with the smallest residual for each image."""
    shape = x.shape
    flat = lambda image: torch.view_as_real(image).reshape(shape[0], -1)
    image_of = lambda vector: torch.view_as_complex(vector.reshape(*shape, 2))
    x = flat(x)
    xs, residuals = x.new_zeros(2, shape[0], history, x.shape[1])
    best, smallest = x, x.new_full((shape[0],), torch.inf)
    for step in range(steps):
        residual = flat(f(image_of(x))) - x
        relative = residual.norm(dim=1) / x.norm(dim=1)
        best = torch.where((relative < smallest)[:, None], x, best)
        smallest = torch.minimum(relative, smallest)
        slot, used = step % history, min(step + 1, history)
        xs[:, slot], residuals[:, slot] = x, residual
        recent = residuals[:, :used]
        size = recent.norm(dim=2)
        cosines = recent @ recent.mT / (size[:, :, None] * size[:, None])
        cosines.diagonal(dim1=1, dim2=2).fill_(1 + ridge)
        target = size[:, slot, None] / size
        weights = torch.linalg.solve(cosines, target) * target
        weights = (weights / weights.sum(dim=1, keepdim=True))[:, None]
        x = (weights @ xs[:, :used] + weights @ recent)[:, 0]
    return image_of(best)


class DEProx:
    """The map ``f(x) = R(x - (A^H A x - A^H y))`` for a single coil, its fixed point and the gradient through it."""

    def __init__(self, net: DnCNN, mask: torch.Tensor, steps: int):
        self.net, self.steps, self.mask = net, steps, mask
        self.shifted = torch.fft.ifftshift(
            mask**2, dim=(-2, -1)
        )  # the mask for uncentred transforms, which need no shift of an image

    def zero_filled(self, kspace: torch.Tensor) -> Image:
        axes = (-2, -1)
        return torch.fft.fftshift(
            torch.fft.ifft2(torch.fft.ifftshift(self.mask * kspace, dim=axes), norm="ortho"), dim=axes
        )

    def step(self, image: Image, zero_filled: Image) -> Image:
        normal = torch.fft.ifft2(self.shifted * torch.fft.fft2(image))
        return self.net(image - (normal - zero_filled))

    def solve(self, kspace: torch.Tensor) -> tuple[Image, Image, torch.Tensor]:
        """Return the fixed point and the zero-filled image, both divided by the scale, and the scale."""
        with torch.no_grad():
            zero_filled = self.zero_filled(kspace)
            power = zero_filled.abs() ** 2
            scale = ((power**2).sum((-2, -1), keepdim=True) / power.sum((-2, -1), keepdim=True)).sqrt()
            zero_filled = zero_filled / scale
            return anderson(lambda x: self.step(x, zero_filled), zero_filled, self.steps), zero_filled, scale

    def reconstruct(self, kspace: torch.Tensor) -> Image:
        image, _, scale = self.solve(kspace)
        return image * scale

    def train_step(self, kspace: torch.Tensor, target: Image, optimizer: torch.optim.Optimizer) -> tuple[float, float]:
        """Do one training step, with the same number of steps in both solves; return loss and norm of the gradient."""
        solution, zero_filled, scale = self.solve(kspace)
        solution.requires_grad_()
        loss = ((solution - target / scale).abs() ** 2).mean()
        (v,) = torch.autograd.grad(loss, solution)
        produced = self.step(solution, zero_filled)
        product = lambda w: torch.autograd.grad(produced, solution, w, retain_graph=True)[0]
        w = anderson(lambda w: v + product(w), v, self.steps)
        parameters = list(self.net.parameters())
        for parameter, gradient in zip(parameters, torch.autograd.grad(produced, parameters, w)):
            parameter.grad = gradient
        norm = torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        return loss.item(), norm.item()
