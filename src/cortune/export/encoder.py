r"""An encoder on disk, and what it predicts.

A folder holds ``config.json`` (everything in words), ``encoder.safetensors`` (the linear map)
and the network: ``model.safetensors`` beside them, or a file of the results that the
configuration names. Of the features :math:`x` of a unit's layer, responses are

.. math:: \hat y = \big((x - \bar x)\, C \circ s\big)\, W + \bar y ,

with the mean and the components :math:`C` shared by all units of a layer, and
:math:`s, W, \bar y` of the unit. :math:`C` and :math:`W` are scaled to entries near one,
which float16 can hold.
"""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cortune.artifacts import PathLike, sha256
from cortune.data.images import Framing, open_rgb
from cortune.errors import InputError
from cortune.files import regular_file, visible_files
from cortune.networks.backbones import origin_of
from cortune.networks.families import Preprocessing

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor, nn

    from cortune.networks.device import Runtime
    from cortune.networks.store import SavedNetwork

FORMAT = 1
CONFIG, MAPS, NETWORK = "config.json", "encoder.safetensors", "model.safetensors"
_AGAIN = "Export it again, or copy the whole folder again."
_BATCH = 128
_OF_VOXELS = ("intercept", "vertices", "mesh_vertices", "noise_ceiling", "r")
Pictures = PathLike | Sequence[PathLike] | NDArray[np.uint8]


@dataclass(frozen=True)
class Unit:
    """An ROI that an encoder predicts, with how well.

    Parameters
    ----------
    dataset, subject, hemisphere, roi : str
    layer : str
        The layer whose features predict it.
    n_voxels : int
    n_images_fit : int
        Images that the map is fitted on.
    r, r_ci_low, r_ci_high : float or None
        Mean over voxels of the cross-validated r with its 95 % interval; None where the images
        that fit it were tuned on.
    ceiling_r : float or None
        Mean over voxels of the highest r possible; None where unknown.
    """

    dataset: str
    subject: str
    hemisphere: str
    roi: str
    layer: str
    n_voxels: int
    n_images_fit: int
    r: float | None
    r_ci_low: float | None
    r_ci_high: float | None
    ceiling_r: float | None

    @property
    def name(self) -> str:
        """Name of the unit in the file of maps."""
        return f"{self.hemisphere}/{self.roi}"


class Encoder:
    """A network with maps from its features to responses.

    Parameters
    ----------
    folder : path
        With ``config.json`` and ``encoder.safetensors``.

    Raises
    ------
    InputError
        If a file is missing, damaged, of another version or not of Cortune.
    """

    def __init__(self, folder: PathLike) -> None:
        self.folder = Path(folder)
        self.config = _read_config(self.folder / CONFIG)
        self.units = [Unit(**unit) for unit in self.config["units"]]
        self._maps = self._read_maps()

    def __repr__(self) -> str:
        names = ", ".join(unit.name for unit in self.units)
        return f"<Encoder of {self.config['network']['name']}: {names}>"

    def only(
        self,
        *,
        subject: str | None = None,
        hemisphere: str | None = None,
        rois: Iterable[str] | None = None,
    ) -> Encoder:
        """Return the encoder of some units alone.

        Raises
        ------
        InputError
            If there are none.
        """
        wanted = None if rois is None else set(rois)
        units = [
            unit
            for unit in self.units
            if subject in (None, unit.subject)
            and hemisphere in (None, unit.hemisphere)
            and (wanted is None or unit.roi in wanted)
        ]
        missing = (wanted or set()) - {unit.roi for unit in units}
        if not units or missing:
            asked = " ".join([*filter(None, (subject, hemisphere)), *sorted(missing)])
            known = ", ".join(f"{u.subject} {u.hemisphere} {u.roi}" for u in self.units)
            raise InputError(
                self.folder, f"no encoder of {asked}", f"one of {known}", "Correct the name."
            )
        other = object.__new__(Encoder)
        vars(other).update(vars(self), units=units)
        return other

    @cached_property
    def saved(self) -> SavedNetwork:
        """The network with what is known of it."""
        from cortune.networks.store import load_network

        own = self.config["network"]
        base = own.get("base") and self.folder / own["base"]
        self._compare(own["file"])
        try:
            return load_network(self.folder / own["file"], base)
        except InputError as error:
            raise InputError(error.where, error.found, error.expected, _AGAIN) from None

    @property
    def network(self) -> nn.Module:
        """The network, in evaluation mode."""
        return self.saved.backbone

    @property
    def shown(self) -> Preprocessing:
        """How the network is shown pictures."""
        return origin_of(self.network).preprocessing

    @property
    def build_options(self) -> dict[str, Any]:
        """What the network's makers build it with, beside its name."""
        return dict(origin_of(self.network).options)

    @property
    def maps(self) -> dict[str, NDArray[Any]]:
        """The arrays of the maps of all units."""
        own = {*(unit.name for unit in self.units), *(unit.layer for unit in self.units)}
        return {key: each for key, each in self._maps.items() if key.rpartition("/")[0] in own}

    @property
    def input_size(self) -> int:
        """Edge of the square that the network sees, pixels."""
        return self.framing.size

    @property
    def framing(self) -> Framing:
        """How pictures become squares."""
        return Framing(**self.config["framing"])

    @property
    def n_outputs(self) -> int:
        """Number of voxels of all units together."""
        return sum(unit.n_voxels for unit in self.units)

    @property
    def columns(self) -> pd.DataFrame:
        """What each column of the predictions is of.

        Columns are subject, hemisphere, roi, vertex (position in the hemisphere's responses, as
        distributed), mesh_vertex (on the surface; -1 if unknown), r and noise_ceiling.
        """
        import pandas as pd

        parts = []
        for unit in self.units:
            names = {key: getattr(unit, key) for key in ("subject", "hemisphere", "roi")}
            arrays = {
                "vertex": self._maps[f"{unit.name}/vertices"],
                "mesh_vertex": self._maps[f"{unit.name}/mesh_vertices"],
                "r": self._maps[f"{unit.name}/r"],
                "noise_ceiling": self._maps[f"{unit.name}/noise_ceiling"],
            }
            parts.append(pd.DataFrame({**names, **arrays}))
        return pd.concat(parts, ignore_index=True)

    def predict(
        self,
        pictures: Pictures,
        *,
        device: str = "auto",
        batch_size: int = _BATCH,
        workers: int = 2,
        progress: bool = False,
    ) -> NDArray[np.float32]:
        """Predict the responses to pictures.

        Parameters
        ----------
        pictures : path, sequence of paths, or array (n, s, s, 3) uint8
            A folder, picture files, or pictures at the network's input size.
        device : str
            ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        batch_size : int
            Pictures per forward pass.
        workers : int
            Threads that decode pictures.
        progress : bool
            Whether to show it.

        Returns
        -------
        ndarray of shape (n_pictures, n_outputs), float32
            In the units of the responses fitted; columns as in :attr:`columns`.
        """
        blocks = self.blocks(
            pictures, device=device, batch_size=batch_size, workers=workers, progress=progress
        )
        return np.concatenate([*blocks])

    def blocks(
        self,
        pictures: Pictures,
        *,
        device: str = "auto",
        batch_size: int = _BATCH,
        workers: int = 2,
        progress: bool = False,
    ) -> Iterator[NDArray[np.float32]]:
        """Yield what :meth:`predict` returns, a batch of pictures at a time."""
        from cortune.networks.device import choose_runtime

        runtime = choose_runtime(device, "float32")
        maps = self._on(runtime)
        layers = list(dict.fromkeys(unit.layer for unit in self.units))
        for outputs in self._outputs(pictures, layers, runtime, batch_size, workers, progress):
            for layer in layers:
                found, d = outputs[layer].shape[1], len(maps[f"{layer}/mean"])
                if found != d:
                    said, path = f"{found} features in {layer}", self.folder / MAPS
                    raise InputError(path, f"a network with {said}", f"{d} of them", _AGAIN)
            scores = {
                layer: (outputs[layer] - maps[f"{layer}/mean"]) @ maps[f"{layer}/components"]
                for layer in layers
            }
            parts = [
                (scores[unit.layer] * maps[f"{unit.name}/scale"]) @ maps[f"{unit.name}/weights"]
                + maps[f"{unit.name}/intercept"]
                for unit in self.units
            ]
            yield np.concatenate([part.cpu().numpy() for part in parts], axis=1)

    def features(
        self,
        pictures: Pictures,
        layers: Sequence[str] | None = None,
        *,
        device: str = "auto",
        batch_size: int = _BATCH,
        workers: int = 2,
        progress: bool = False,
    ) -> dict[str, NDArray[np.float32]]:
        """Return the features of pictures, by default of the layers that the maps use.

        Parameters
        ----------
        pictures, device, batch_size, workers, progress
            As in :meth:`predict`.
        layers : sequence of str, optional

        Returns
        -------
        dict of str to ndarray of shape (n_pictures, n_features), float32
        """
        from cortune.networks.device import choose_runtime

        chosen = list(dict.fromkeys(layers or (unit.layer for unit in self.units)))
        runtime = choose_runtime(device, "float32")
        found: dict[str, list[NDArray[np.float32]]] = {layer: [] for layer in chosen}
        for outputs in self._outputs(pictures, chosen, runtime, batch_size, workers, progress):
            for layer in chosen:
                found[layer].append(outputs[layer].float().cpu().numpy())
        return {layer: np.concatenate(parts) for layer, parts in found.items()}

    def _outputs(
        self,
        pictures: Pictures,
        layers: Sequence[str],
        runtime: Runtime,
        batch_size: int,
        workers: int,
        progress: bool,
    ) -> Iterator[dict[str, Tensor]]:
        """Yield the features of batches; the next one is decoded meanwhile."""
        from tqdm import tqdm

        known = pictures if isinstance(pictures, np.ndarray) else find_pictures(pictures)
        batches = _batches(known, self.framing, batch_size, workers)
        tokens = self.config["tokens"]
        bar = tqdm(
            total=len(known), unit="picture", file=sys.stderr, mininterval=1, disable=not progress
        )
        with bar:
            for outputs in layer_outputs(self.saved, layers, batches, runtime, tokens):
                yield outputs
                bar.update(len(outputs[layers[0]]))

    def _on(self, runtime: Runtime) -> dict[str, Tensor]:
        """Return the arrays of the maps as float32 tensors on a device."""
        import torch

        layers = {unit.layer for unit in self.units}
        wanted = [f"{layer}/{name}" for layer in layers for name in ("mean", "components")]
        parts = ("scale", "weights", "intercept")
        wanted += [f"{unit.name}/{name}" for unit in self.units for name in parts]
        return {
            key: torch.from_numpy(self._maps[key]).to(runtime.device, torch.float32)
            for key in wanted
        }

    def _compare(self, name: str) -> None:
        """Require a file of an exported folder to be as it was written."""
        known, path = self.config.get("sha256", {}).get(name), self.folder / name
        if known is not None and path.is_file() and (found := sha256(path)) != known:
            expected = f"the one that was exported ({known[:12]}…)"
            raise InputError(path, f"another or a damaged file ({found[:12]}…)", expected, _AGAIN)

    def _read_maps(self) -> dict[str, NDArray[Any]]:
        from safetensors import SafetensorError, safe_open

        path = self.folder / MAPS
        expected = "the maps that belong to its config.json"
        try:
            with safe_open(path, framework="numpy") as file:
                maps = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InputError(path, f"no readable safetensors ({first})", expected, _AGAIN) from None
        for unit in self.units:
            of_layer, v = maps.get(f"{unit.layer}/components", np.empty(0)).shape, unit.n_voxels
            d, k = of_layer if len(of_layer) == 2 else (0, 0)
            shapes: dict[str, tuple[int, ...]] = {
                f"{unit.layer}/components": (d, k),
                f"{unit.layer}/mean": (d,),
                f"{unit.name}/scale": (k,),
                f"{unit.name}/weights": (k, v),
                **{f"{unit.name}/{name}": (v,) for name in _OF_VOXELS},
            }
            for key, shape in shapes.items():
                if key not in maps:
                    raise InputError(path, f"no array {key!r}", expected, _AGAIN)
                if maps[key].shape != shape:
                    found = f"{key!r} of shape {maps[key].shape}"
                    raise InputError(path, found, f"{shape}", _AGAIN)
        self._compare(MAPS)
        return maps


def find_pictures(pictures: PathLike | Sequence[PathLike]) -> list[Path]:
    """Return the files that a folder, a list or a single path means, sorted if a folder.

    Raises
    ------
    InputError
        If there is none.
    """
    if not isinstance(pictures, str | Path):
        found = [Path(path) for path in pictures]  # type: ignore[union-attr]
        if len(found) != 1:
            if not found:
                raise InputError("pictures", "an empty list", "picture files", "Name some.")
            for path in found:
                if not path.exists():
                    raise InputError(path, "nothing there", "a picture file", "Correct the path.")
            return found
        pictures = found[0]
    path = Path(pictures)
    if path.is_dir():
        found = sorted(visible_files(path))
        if not found:
            raise InputError(path, "an empty folder", "picture files", "Name another folder.")
        return found
    try:
        return [regular_file(path)]
    except OSError as error:
        found_there = (
            "nothing there" if isinstance(error, FileNotFoundError) else str(error.strerror)
        )
        raise InputError(
            path, found_there, "a folder of pictures, or picture files", "Correct the path."
        ) from None


def _batches(
    pictures: Sequence[Path] | NDArray[np.uint8], framing: Framing, batch_size: int, workers: int
) -> Iterator[NDArray[np.uint8]]:
    """Yield pictures as squares; those of the next two batches are decoded meanwhile."""
    if isinstance(pictures, np.ndarray):
        size = framing.size
        if pictures.dtype != np.uint8 or pictures.shape[1:] != (size, size, 3):
            found = f"{pictures.dtype} of shape {pictures.shape}"
            expected = f"uint8 of shape (n, {size}, {size}, 3)"
            raise InputError("pictures", found, expected, "Scale them, or give files.")
        for start in range(0, len(pictures), batch_size):
            yield pictures[start : start + batch_size]
        return

    def decode(path: Path) -> NDArray[np.uint8]:
        return framing(open_rgb(path), path)

    with ThreadPoolExecutor(max(workers, 1)) as pool:
        todo = iter(pictures)
        ahead: deque[Future[NDArray[np.uint8]]] = deque()
        try:
            while True:
                fresh = islice(todo, 3 * batch_size - len(ahead))
                ahead.extend(pool.submit(decode, path) for path in fresh)
                if not ahead:
                    return
                first = [ahead.popleft() for _ in range(min(batch_size, len(ahead)))]
                yield np.stack([each.result() for each in first])
        finally:
            pool.shutdown(cancel_futures=True)


class _Enough(Exception):
    """All layers have been seen."""


def layer_outputs(
    saved: SavedNetwork,
    layers: Sequence[str],
    batches: Iterable[NDArray[np.uint8]],
    runtime: Runtime,
    tokens: str = "all",
) -> Iterator[dict[str, Tensor]]:
    """Yield the features of batches of pictures, (n_pictures, n_features) by layer.

    The network runs just until all layers have had their turn.
    """
    import torch

    from cortune.networks.backbones import normalise
    from cortune.networks.layers import captured_layers, check_layers

    check_layers(saved.backbone, layers, "layers")
    model = saved.backbone.to(runtime.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    modules = dict(model.named_modules())
    with torch.no_grad(), captured_layers(model, layers, tokens) as outputs:

        def stop(*_: Any) -> None:
            if len(outputs) == len(layers):
                raise _Enough

        # Hooks are called in the order in which they are registered: these after the others.
        handles = [modules[name].register_forward_hook(stop) for name in layers]
        try:
            for batch in batches:
                outputs.clear()
                with suppress(_Enough):
                    model(normalise(torch.from_numpy(np.array(batch)).to(runtime.device), model))
                yield outputs
        finally:
            for handle in handles:
                handle.remove()


def _read_config(path: Path) -> dict[str, Any]:
    expected = "the config.json of an encoder that Cortune exported"
    damaged = InputError(path, "another program's or a damaged file", expected, _AGAIN)
    try:
        whole: dict[str, Any] = json.loads(regular_file(path).read_text(encoding="utf-8"))
        config: dict[str, Any] = whole["cortune"]
        found = config["format"]
    except OSError:
        raise InputError(path, "no file", expected, "Name the folder of an encoder.") from None
    except (ValueError, KeyError, TypeError):
        raise damaged from None
    if found != FORMAT:
        raise InputError(
            path,
            f"format {found}, of Cortune {config.get('version')}",
            f"format {FORMAT}",
            "Load it with that version of Cortune, or export it again with this one.",
        )
    try:
        _ = Framing(**config["framing"]), config["tokens"], config["network"]["file"]
        units = [Unit(**unit) for unit in config["units"]]
    except (KeyError, TypeError):
        raise damaged from None
    if not units:
        raise damaged
    return config
