"""Model folders: what is saved is loaded, whole or not at all; whatever cannot be loaded is named."""

import pickle
from dataclasses import replace
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import deqjax as dj
from deqjax import model_folders
from deqjax.config import Config
from deqjax.config.schema import RunSettings
from deqjax.domain import Domain
from deqjax.run.experiment import starting_params

NET = dj.nets.DnCNN(layers=2, features=4)
CONFIG = Config(
    title="tiny",
    map=dj.maps.HalfQuadratic(NET, learn_penalty=True),
    solver=dj.solvers.Picard(max_steps=3),
    inference=dj.solvers.Anderson(max_steps=7, rtol=1e-6),
)


@pytest.fixture(scope="module")
def params():
    """Parameters that no initialisation makes."""
    fresh = model_folders.method_of(CONFIG).init(jax.random.key(1))
    return jax.tree.map(lambda leaf: leaf + 0.01, fresh)


@pytest.fixture
def folder(tmp_path, params):
    return model_folders.save(tmp_path / "some" / "model", CONFIG, params, "# a card\n")


def measurement():
    mask = jnp.asarray(dj.masks.CartesianRandom(2, 0.2)((16, 16), 0))
    return mask, mask * jnp.asarray(dj.data.phantom_volume(0, (1, 16, 16)).kspace[0])


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_model_that_is_saved_and_loaded_reconstructs_the_same(folder, params):
    recon, loaded = model_folders.load(folder)
    chex.assert_trees_all_equal(loaded, params, strict=True)
    assert {leaf.dtype for leaf in jax.tree.leaves(loaded)} == {jnp.float32.dtype}
    mask, kspace = measurement()
    A = dj.physics.MaskedFourier(mask)
    mine = model_folders.method_of(CONFIG).replace(solver=CONFIG.inference)
    expected, stats = mine(params, A, kspace)
    image, again = recon(loaded, A, kspace)
    np.testing.assert_array_equal(image, expected)
    assert int(again.num_steps) == int(stats.num_steps)
    np.testing.assert_array_equal(dj.reconstruct_kspace(kspace, mask, model=folder).image, expected)
    assert model_folders.load_config(folder) == CONFIG
    assert (folder / "README.md").read_text() == "# a card\n"
    assert sorted(path.name for path in folder.parent.iterdir()) == ["model"]


def test_the_solver_for_inference_is_used(folder, tmp_path, params):
    assert model_folders.load(folder)[0].solver == CONFIG.inference
    assert model_folders.load(folder, ["inference.max_steps=9"])[0].solver.max_steps == 9
    changed = model_folders.load(folder, ["--inference.type=Picard", "--inference.max_steps=200"])[0].solver
    assert changed == dj.solvers.Picard(max_steps=200, rtol=1e-6)
    with pytest.raises(ValueError, match=r"model: set .inference. instead"):
        model_folders.load(folder, ["--solver.rtol=1e-2"])
    plain = Config(title="plain", map=CONFIG.map, solver=dj.solvers.Picard(max_steps=3))
    assert model_folders.load(model_folders.save(tmp_path / "plain", plain, params, ""))[0].solver == plain.solver


def test_a_folder_that_exists_is_left_alone(folder, params):
    before = contents(folder.parent)
    with pytest.raises(ValueError, match=r"model: exists already"):
        model_folders.save(folder, CONFIG, jax.tree.map(jnp.zeros_like, params), "other")
    assert contents(folder.parent) == before
    (folder.parent / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty: exists already"):
        model_folders.save(folder.parent / "empty", CONFIG, params, "other")


@pytest.mark.parametrize("broken", ["params.npz", "config.toml", "README.md"])
def test_no_half_folder_is_left(tmp_path, params, monkeypatch, broken):
    class Full(OSError):
        pass

    def full(*_, **__):
        raise Full("no space left on device")

    path_type = type(tmp_path)
    write = path_type.write_text
    if broken == "params.npz":
        monkeypatch.setattr(np, "savez", full)
    else:
        fails = lambda self, *a, **k: full() if self.name == broken else write(self, *a, **k)
        monkeypatch.setattr(path_type, "write_text", fails)
    with pytest.raises(Full):
        model_folders.save(tmp_path / "model", CONFIG, params, "card")
    assert list(tmp_path.iterdir()) == []


def refused(folder) -> str:
    with pytest.raises(ValueError, match=r".") as caught:
        model_folders.load(folder)
    assert str(folder) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["params.npz", "config.toml"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    assert "not a model folder, which needs config.toml and params.npz" in refused(folder)


def test_a_missing_folder_is_named(tmp_path):
    assert "not a model folder" in refused(tmp_path / "nothing")


@pytest.mark.parametrize("keep", [0, 10, 100, 0.5, -1])
def test_truncated_parameters(folder, keep):
    whole = (folder / "params.npz").read_bytes()
    (folder / "params.npz").write_bytes(whole[: int(keep * len(whole)) if isinstance(keep, float) else keep])
    assert "cannot be read as parameters" in refused(folder)


def test_spoilt_parameters(folder):
    data = bytearray((folder / "params.npz").read_bytes())
    params = model_folders.load_params(folder, model_folders.method_of(CONFIG))
    at = data.index(params["map"]["net"]["conv_0"]["kernel"].tobytes())
    data[at + 5] ^= 0xFF
    (folder / "params.npz").write_bytes(data)
    assert "cannot be read as parameters" in refused(folder)


def test_pickles_are_refused(folder):
    ran: list[int] = []

    class Evil:
        def __reduce__(self):
            return (ran.append, (1,))

    (folder / "params.npz").write_bytes(pickle.dumps(Evil()))
    assert "cannot be read as parameters" in refused(folder)
    arrays: dict[str, Any] = {"map/net/conv_0/kernel": np.array([{"a": 1}], dtype=object)}
    np.savez(folder / "params.npz", **arrays)
    assert "cannot be read as parameters" in refused(folder)
    np.save(folder / "other.npy", np.zeros(3))
    (folder / "other.npy").rename(folder / "params.npz")
    assert "cannot be read as parameters" in refused(folder)


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        ("layers = 2", "layers = 3", "map/net/conv_"),
        ("features = 4", "features = 5", "map/net/conv_"),
        ("learn_penalty = true", "learn_penalty = false", "map/log_penalty"),
        ('type = "HalfQuadratic"', 'type = "ProximalGradient"', ""),
    ],
)
def test_another_architecture(folder, old, new, name):
    text = (folder / "config.toml").read_text()
    assert old in text
    (folder / "config.toml").write_text(text.replace(old, new))
    message = refused(folder)
    if name:
        assert "another architecture" in message
        assert name in message


def test_another_architecture_by_override(folder):
    with pytest.raises(ValueError, match=r"params\.npz: the parameters belong to another architecture"):
        model_folders.load(folder, ["map.net.features=8"])


def test_a_spoilt_config_is_named(folder):
    (folder / "config.toml").write_text("title = ")
    assert "not valid TOML" in refused(folder)


def test_parameters_for_another_method_are_refused(folder):
    other = dj.Reconstructor(dj.maps.HalfQuadratic(dj.nets.DnCNN(layers=2, features=6), learn_penalty=True))
    with pytest.raises(ValueError, match=r"params\.npz: .*another architecture.*net/conv_"):
        model_folders.load_params(folder, other)


def test_the_parameters_of_version_0_1_are_read(folder, params):
    """They had the parameters of the map at the top, and those of the other parts under their names."""
    with np.load(folder / "params.npz") as file:
        arrays: dict[str, Any] = {name.removeprefix("map/"): file[name] for name in file.files}
    assert "log_penalty" in arrays
    np.savez(folder / "params.npz", **arrays)
    chex.assert_trees_all_equal(model_folders.load(folder)[1], params)


def test_a_domain_is_saved_and_loaded(tmp_path, params):
    domain = Domain("phantoms", (3.0, 9.5), (0, 0.05), (0, 0.1), (64, 320), (64, 320), (0.2, 0.5), (1, 8))
    folder = model_folders.save(tmp_path / "with", CONFIG, params, "", domain)
    assert model_folders.load_domain(folder) == domain
    assert model_folders.load_domain(model_folders.save(tmp_path / "without", CONFIG, params, "")) is None
    (folder / "domain.toml").write_text((folder / "domain.toml").read_text().replace("9.5", "1.5"))
    with pytest.raises(ValueError, match=r"domain\.toml: .*acceleration must be two numbers"):
        model_folders.load_domain(folder)


def test_some_parts_of_a_model_start_a_run(folder, params):
    """The map of another model with the same map; a part that the config does not have is named."""
    other = replace(CONFIG, start=dj.nets.DnCNN(layers=2, features=2))
    recon = model_folders.method_of(other)
    found = starting_params(replace(other, run=RunSettings(init_from=str(folder), init_parts=("map",))), recon)
    chex.assert_trees_all_equal(found["map"], params["map"])
    assert "start" in found
    for part, message in (("finish", "no finish; it has"), ("start", "another architecture.*start/net/")):
        run = RunSettings(init_from=str(folder), init_parts=(part,))
        with pytest.raises(ValueError, match=message):
            starting_params(replace(other, run=run), recon)
