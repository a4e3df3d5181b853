"""Weights from files as people have them, fitted to a network.

A checkpoint is flattened to tensors by dotted path, so that a wrapping dict (``state_dict``,
``model_ema``) and a prefix (``module.``, ``backbone.``) are one thing: a path before the
network's own names. Whichever such path leaves exactly these names is stripped; what lies
beside it (heads, optimizers) is not read.
"""

from __future__ import annotations

import codecs
import contextlib
import json
import logging
import re
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortune.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from cortune.networks.families import BackboneFamily

EXPECTED = "a state dict (safetensors, or torch.save of tensors only)"
SAVE_AGAIN = "Save it with torch.save(model.state_dict(), path) or as safetensors."
# What torch's wrappers put between the names of modules.
_WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
_WRAPPERS_KEYS = {"n_averaged"}  # of swa_utils.AveragedModel
_COUNTER = ".num_batches_tracked"
_AVERAGE = re.compile(r"(^|[._])(ema|averaged?|swa)([._]|$)")
_DEPTH = 4
_START = 512
_NO_TEXT = set(range(32)) - set(b"\t\n\r\f")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of a file.

    Parameters
    ----------
    source : object
        What messages call it.
    tensors : dict of str to Tensor
        By dotted path.
    metadata : dict of str to dict
        Versions of modules (``_metadata`` of torch's state dicts), by the state dict's path.
    network : dict, optional
        What a network of Cortune says of itself; None if it is not one.
    others : dict of str to str
        The type of what is no tensor, by dotted path.
    """

    source: object
    tensors: dict[str, Tensor]
    metadata: dict[str, dict[str, Any]] = field(default_factory=dict)
    network: dict[str, Any] | None = None
    others: dict[str, str] = field(default_factory=dict)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read safetensors, or a torch file without running its pickle.

    Raises
    ------
    InputError
        If the file is missing, unreadable, holds no tensors by name, or needs code to load.
    """
    import torch

    if not path.is_file():
        raise InputError(path, "no file", EXPECTED, "Correct backbone.weights.")
    network = None
    try:
        if path.suffix == ".safetensors":
            content, network = _read_safetensors(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # every library in between raises its own kind
        found = f"a file that cannot be read safely ({_kind_of(path, error)})"
        raise InputError(path, found, EXPECTED, SAVE_AGAIN) from error
    checkpoint = as_checkpoint(path, content, network)
    if not checkpoint.tensors:
        found = f"{type(content).__name__} without tensors by name"
        raise InputError(path, found, EXPECTED, SAVE_AGAIN)
    return checkpoint


def _kind_of(path: Path, error: Exception) -> str:
    """Return what a file is that no library could read; torch's words are for programmers."""
    if path.suffix == ".safetensors":
        said = str(error).strip()
        return said.splitlines()[0][:160] if said else type(error).__name__
    try:
        with path.open("rb") as file:
            start = file.read(_START)
    except OSError as problem:
        return problem.strerror or "unreadable"
    if not start:
        return "it is empty"
    if start.startswith(b"\x80"):
        return "a pickle of more than tensors, which could run code"
    if start.startswith(b"PK"):
        whole = zipfile.is_zipfile(path)
        return "torch.save of more than tensors" if whole else "an archive that is damaged"
    with contextlib.suppress(UnicodeDecodeError):
        # What is cut in the middle of a letter is text, too.
        codecs.getincrementaldecoder("utf-8")().decode(start)
        if not set(start) & _NO_TEXT:
            return "a text file"
    return "neither torch nor safetensors wrote it"


def as_checkpoint(
    source: object, content: Any, network: dict[str, Any] | None = None
) -> Checkpoint:
    """Flatten nested mappings to tensors by dotted path."""
    import torch

    found = Checkpoint(source, {}, {}, network)

    def walk(mapping: Mapping[Any, Any], path: str, depth: int) -> None:
        if metadata := getattr(mapping, "_metadata", None):
            found.metadata[path] = metadata
        for key, value in mapping.items():
            if isinstance(value, torch.Tensor):
                found.tensors[f"{path}{key}"] = value
            elif isinstance(value, Mapping) and depth:
                walk(value, f"{path}{key}.", depth - 1)
            else:
                found.others[f"{path}{key}"] = type(value).__name__

    if isinstance(content, Mapping):
        walk(content, "", _DEPTH)
    return found


def description(path: Path) -> dict[str, Any] | None:
    """Return what a network of Cortune says of itself; None of any other file."""
    from safetensors import SafetensorError, safe_open

    if path.suffix != ".safetensors" or not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            return _described(file)
    except (OSError, SafetensorError):
        return None  # said when it is read


def _described(file: Any) -> dict[str, Any] | None:
    found: dict[str, Any] | None
    found = json.loads((file.metadata() or {}).get("cortune", "{}")).get("network")
    return found


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any] | None]:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        return tensors, _described(file)


@dataclass(frozen=True)
class _Candidate:
    """What a checkpoint holds below one path."""

    prefix: str
    state: dict[str, Tensor]
    metadata: dict[str, Any] | None


Build = Callable[[Mapping[str, Any]], "nn.Module"]


def fitted(name: str, family: BackboneFamily, checkpoint: Checkpoint, build: Build) -> nn.Module:
    """Build a network as a checkpoint needs it, and load the checkpoint into it.

    Parameters
    ----------
    name : str
        Of the network, within its family.
    family : BackboneFamily
    checkpoint : Checkpoint
    build : callable
        Builds the network from options of the family.

    Raises
    ------
    InputError
        If the checkpoint does not fit, or is not finite.
    """
    plain = without_memory(lambda: build({})).state_dict()
    candidates = _candidates(checkpoint, family, list(plain))

    def load(candidate: _Candidate) -> tuple[nn.Module, list[str]]:
        own = checkpoint.network is not None  # which tells its options itself
        options = {} if own else family.options(name, candidate.state)
        return _load(candidate, family, options, plain, build)

    tried = [(each, *load(each)) for each in candidates]
    fits = [each for each, _, wrong in tried if not wrong]
    if not fits:
        wrong = min((wrong for *_, wrong in tried), key=len)
        if not any(key in plain for each in candidates for key in each.state):
            wrong = ["no key is the network's"]
        wrong = [_said_of(problem, checkpoint.others) for problem in wrong]
        raise InputError(
            checkpoint.source,
            f"weights that do not fit {name}: {_some(wrong)}",
            f"a state dict of {name}",
            "Correct backbone.name or backbone.weights.",
        )
    chosen = _chosen(checkpoint.source, fits)
    unfit = [key for key, value in chosen.state.items() if not bool(value.isfinite().all())]
    if unfit:
        raise InputError(
            checkpoint.source,
            f"weights with NaN or infinity in {', '.join(unfit[:3])}",
            f"a state dict of {name} with finite numbers",
            "Save the network again from before its training diverged.",
        )
    return next(model for each, model, _ in tried if each is chosen)


def without_memory(build: Callable[[], nn.Module]) -> nn.Module:
    """Build a network on torch's meta device: without memory for its weights, or drawing them.

    Only what is made without values is from the start, since some builders compute with tensors.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    class Empty(TorchFunctionMode):
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None):  # type: ignore[no-untyped-def]
            where = {"device": "meta"} if function is torch.empty else {}
            return function(*args, **{**(kwargs or {}), **where})

    with Empty():
        return build().to("meta")


def _chosen(source: object, fits: list[_Candidate]) -> _Candidate:
    """Return the only network of a file, or the moving average among several."""
    averages = [fit for fit in fits if _AVERAGE.search(fit.prefix)]
    if all(_equal(fits[0].state, other.state) for other in fits[1:]):
        return fits[0]
    if len(averages) == 1:
        _log.warning("%s: the moving average %r is used", source, averages[0].prefix)
        return averages[0]
    raise InputError(
        source,
        f"several networks that fit: {', '.join(repr(fit.prefix) for fit in fits)}",
        "one network, or one and its moving average",
        "Save the state dict of the one that is meant.",
    )


def _equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(
        value.shape == other[key].shape and bool((value == other[key]).all())
        for key, value in one.items()
    )


def _candidates(checkpoint: Checkpoint, family: BackboneFamily, own: list[str]) -> list[_Candidate]:
    """Return what lies below the paths that share most keys with the network."""
    tensors = _unwrapped(checkpoint.tensors, own)
    keys = {path: family.key(key) for path, key in tensors.items()}
    wanted = set(own)
    shared: dict[str, int] = {}
    for key in keys.values():
        for prefix, rest in _splits(key):
            if rest in wanted and not rest.endswith(_COUNTER):
                shared[prefix] = shared.get(prefix, 0) + 1
    most = max(shared.values(), default=0)
    prefixes = sorted((p for p, n in shared.items() if n == most), key=len) or [""]
    found = []
    for prefix in prefixes:
        inner = tuple(p for p in prefixes if p != prefix and p.startswith(prefix))
        state = {
            key[len(prefix) :]: checkpoint.tensors[path]
            for path, key in keys.items()
            if key.startswith(prefix) and not key.startswith(inner)
        }
        state = {key: value for key, value in state.items() if not family.is_auxiliary(key)}
        found.append(_Candidate(prefix, state, _metadata(checkpoint, prefix)))
    return found


def _splits(key: str) -> Iterator[tuple[str, str]]:
    yield "", key
    for dot in re.finditer(r"\.", key):
        yield key[: dot.end()], key[dot.end() :]


def _unwrapped(tensors: Mapping[str, Any], own: list[str]) -> dict[str, str]:
    """Return each path without the names that torch's wrappers put into it."""
    native = {part for key in own for part in key.split(".")}
    drop = _WRAPPERS - native
    short = {
        path: ".".join(part for part in path.split(".") if part not in drop)
        for path in tensors
        if path.rpartition(".")[2] not in _WRAPPERS_KEYS
    }
    return short if len(set(short.values())) == len(short) else {path: path for path in tensors}


def _metadata(checkpoint: Checkpoint, prefix: str) -> dict[str, Any] | None:
    """Return the versions of the modules below a path, where the file tells them."""
    for path, metadata in checkpoint.metadata.items():
        short = {
            ".".join(p for p in f"{path}{key}".split(".") if p not in _WRAPPERS): value
            for key, value in metadata.items()
        }
        root = prefix.removesuffix(".")
        inside = {
            key.removeprefix(root).removeprefix("."): value
            for key, value in short.items()
            if not root or key == root or key.startswith(prefix)
        }
        if inside:
            return inside
    return None


def _load(
    candidate: _Candidate,
    family: BackboneFamily,
    options: Mapping[str, Any],
    plain: Mapping[str, Tensor],
    build: Build,
) -> tuple[nn.Module, list[str]]:
    """Build a network for some weights and load them; return it and what is wrong."""
    given, metadata = candidate.state, candidate.metadata
    model = build(options)
    try:
        state = OrderedDict(family.adapted(model, dict(given)))
    except (KeyError, IndexError, ValueError, RuntimeError) as error:
        return model, [f"{error!r} where names are translated"]
    last = list(plain)[-1]
    if last in state and state[last].ndim and state[last].shape != plain[last].shape:
        model = build({**options, "num_classes": len(state[last])})
    own = model.state_dict()
    for key, value in own.items():
        if key.endswith(_COUNTER):  # counts from zero where the file does not
            state[key] = state.get(key, value).reshape(value.shape)
    # Modules rename keys of old files by their versions, which not every file tells.
    current: dict[str, Any] = vars(own)["_metadata"]
    wrong: list[str] = []
    unversioned: dict[str, Any] = {key: {} for key in current}
    for versions in (metadata, current, unversioned):
        if versions is not None:
            vars(state)["_metadata"] = versions
            wrong = _wrong(model, own, state)
            if not wrong:
                break
    return model, wrong


def _wrong(
    model: nn.Module, own: Mapping[str, Tensor], state: OrderedDict[str, Tensor]
) -> list[str]:
    """Load what fits; return what does not: missing and unknown keys, other shapes."""
    shapes = [
        f"{key} is {tuple(state[key].shape)}, not {tuple(value.shape)}"
        for key, value in own.items()
        if key in state and state[key].shape != value.shape
    ]
    missing = [key for key in own if key not in state]
    unknown = [key for key in state if key not in own]
    if not shapes:
        try:
            missing, unknown = model.load_state_dict(state, strict=False)
        except ValueError as error:  # a module that asks for its version
            shapes = [str(error)]
    kinds = ([f"{k} is missing" for k in missing], [f"{k} is unknown" for k in unknown], shapes)
    # The first of each kind comes before the second of any.
    return [kind[at] for at in range(max(map(len, kinds))) for kind in kinds if at < len(kind)]


def _said_of(problem: str, others: Mapping[str, str]) -> str:
    """Return a problem, of a missing key what stands in the tensor's place."""
    key = problem.removesuffix(" is missing")
    kind = next((kind for path, kind in others.items() if f".{path}".endswith(f".{key}")), None)
    return problem if kind is None else f"{key} is a {kind}"


def _some(wrong: list[str]) -> str:
    more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
    return "; ".join(wrong[:3]) + more
