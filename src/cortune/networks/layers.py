"""Layers: which there are, what each gives, and their outputs in one forward pass."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from math import isqrt
from typing import TYPE_CHECKING, Any

from cortune.errors import InputError
from cortune.networks.backbones import Origin, origin_of, tokens_of
from cortune.networks.families import Tokens
from cortune.networks.weights import without_memory

if TYPE_CHECKING:
    from torch import Tensor, nn

_N_IMAGES = 2
N_AUTO = 8
WHOLE = Tokens()
ALL, CLASS, MEAN, PATCHES = "all", "class", "mean", "patches"


@dataclass(frozen=True)
class Layer:
    """A layer of a network, as one forward pass showed it.

    Parameters
    ----------
    name, kind : str
        Its path among the modules, and its class.
    shape : tuple of int
        What it gives for one image; empty where it cannot be used.
    n_tokens : int
        How many tokens that is, those of maps with channels last among them; 0 where it gives
        none.
    problem : str
        Why it cannot be used.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    n_tokens: int = 0
    problem: str = ""


class Trace:
    """One forward pass of images of zeros through a network, without its weights.

    The network is built anew without memory for its weights, and with random ones where it
    cannot be run so, so that it takes seconds whatever its size.

    Parameters
    ----------
    origin : Origin
        Of the network.
    """

    def __init__(self, origin: Origin) -> None:
        import torch

        size = origin.preprocessing.input_size
        self.name, self.problem = origin.name, ""
        for device in ("meta", "cpu"):
            build = origin.build if device == "cpu" else partial(without_memory, origin.build)
            self.model = build().eval().requires_grad_(False)
            images = torch.zeros(_N_IMAGES, 3, size, size, device=device, requires_grad=True)
            try:
                self._run(images)
            except NotImplementedError:
                continue
            break

    def _run(self, images: Tensor) -> None:
        import torch

        names = {module: name for name, module in self.model.named_modules() if name}
        self._tokens = tokens_of(self.model)
        self._calls: Counter[str] = Counter()
        self._found: dict[str, Layer] = {}
        self._nodes: dict[str, Any] = {}

        def keep(module: nn.Module, inputs: Any, output: Any) -> None:
            name, kind = names[module], type(module).__name__
            self._calls[name] += 1
            given = only_tensor(output)
            problem, n_tokens = "", 0
            shape: tuple[int, ...] = ()
            if given is None:
                problem = f"gives {_told(output)}, not one tensor"
            elif not given.shape or given.shape[0] != _N_IMAGES:
                problem = f"gives {tuple(given.shape)} for {_N_IMAGES} images, not a row each"
            elif not given.is_floating_point():
                problem = f"gives {given.dtype}, not numbers with a fraction"
            else:
                shape = tuple(given.shape[1:])
                passed_on = bool(inputs) and given is inputs[0]  # by Identity, or changed in place
                if not (passed_on and given.grad_fn in self._nodes.values()):
                    self._nodes[name] = given.grad_fn
                laid = as_tokens(given, self._tokens)
                n_tokens = 0 if laid is None else laid.shape[1]
            self._found[name] = Layer(name, kind, shape, n_tokens, problem)

        handles = [module.register_forward_hook(keep) for module in names]
        try:
            with torch.enable_grad():
                output = self.model(images)
            self._end = getattr(output, "logits", output)
            self._images = images
        except NotImplementedError:
            raise
        except Exception as error:  # every model words it in its own way
            said = (str(error).strip() or type(error).__name__).splitlines()[0]
            if images.is_meta and "meta" in said:
                raise NotImplementedError(said) from error
            self.problem = said[:200]
        finally:
            for handle in handles:
                handle.remove()

    @cached_property
    def layers(self) -> dict[str, Layer]:
        """Every layer by name: those called in the order in which they end, then the others."""
        found = dict(self._found)
        for name, times in self._calls.items():
            if times > 1:
                problem = f"is called {times} times for one image"
                found[name] = Layer(name, found[name].kind, (), 0, problem)
        for name, module in self.model.named_modules():
            if name and name not in found:
                problem = "is never called"
                if self.problem:
                    problem = f"is not reached: {self.problem}"
                found[name] = Layer(name, type(module).__name__, (), 0, problem)
        return found

    def check(self, layer: str, where: str = "backbone.layers", tokens: str = ALL) -> None:
        """Make sure that a layer can be used.

        Parameters
        ----------
        layer : str
        where : str
            Configuration key of the name, for the message.
        tokens : str
            What of its tokens is wanted.

        Raises
        ------
        InputError
            If there is none of that name, or saying what it gives instead of features.
        """
        check_layers(self.model, [layer], where)
        found = self.layers[layer]
        problem = found.problem
        if found.n_tokens and tokens == CLASS and not self._tokens.has_class:
            problem = "gives tokens none of which is of the class, for backbone.tokens: class"
        if problem:
            raise InputError(
                where,
                f"{layer}, which {problem}",
                "a layer that is called once and gives a row of numbers for each image",
                "Name another: `cortune layers` lists those that can be used.",
            )

    def auto(self, n: int = N_AUTO) -> list[str]:
        """Return `n` layers evenly spaced in depth, the last one among them.

        They are chosen among blocks that come more than once (residual, inception, attention
        blocks) or, where those are too few, among these and steps of a chain: a convolution or
        linear layer and what follows it up to the next.

        Raises
        ------
        InputError
            If the network cannot be run at its input size.
        """
        self.require_runs()
        blocks, units = self._units
        chosen = blocks if len(blocks) >= n else [last for _, last in units]
        n = min(n, len(chosen))
        return [chosen[-(-(at + 1) * len(chosen) // n) - 1] for at in range(n)]

    def require_runs(self) -> None:
        """Make sure that the network runs at its input size.

        Raises
        ------
        InputError
        """
        if self.problem:
            size = origin_of(self.model).preprocessing.input_size
            raise InputError(
                "backbone.input_size",
                f"{size}, at which {self.name} cannot be run ({self.problem})",
                "a size that the network can be run at",
                "Leave the key out for the size of its makers, or choose a larger one.",
            )

    @property
    def blocks(self) -> list[str]:
        """Blocks that come more than once; of a network without, the first of each step of a chain.

        Raises
        ------
        InputError
            If the network cannot be run at its input size.
        """
        self.require_runs()
        blocks, units = self._units
        return blocks or [first for first, _ in units]

    def called(self, start: str, end: str) -> list[str]:
        """Return the modules that are called, from one in their order on to the end of another."""
        names = [name for name, _ in self.model.named_modules()]
        inside = [at for at, name in enumerate(names) if f"{name}.".startswith(f"{end}.")]
        return [name for name in names[names.index(start) : inside[-1] + 1] if name in self._calls]

    @cached_property
    def _units(self) -> tuple[list[str], list[tuple[str, str]]]:
        """The blocks that all of an image passes; the first and last module of units of a chain.

        A module is a *cut* if every path from image to output leads through its output.
        """
        from torch import nn

        position = _cuts(self._end.grad_fn, self._images)
        at = {
            name: position[node]
            for name, node in self._nodes.items()
            if node in position and not self.layers[name].problem
        }
        modules = dict(self.model.named_modules())
        inside = {name: {at[n] for n in at if n.startswith(f"{name}.")} - {at[name]} for name in at}
        composite = {
            name
            for name in at
            if not isinstance(modules[name], nn.Sequential | nn.ModuleList)
            and any(
                any(p.ndim > 1 for p in child.parameters()) for child in modules[name].children()
            )
        }
        simple = {name for name in composite if not inside[name]}
        kinds = Counter(type(modules[name]) for name in simple)
        blocks = [
            name
            for name in at
            if name in composite and kinds[type(modules[name])] > (name not in simple)
        ]
        # The outermost of blocks within blocks, and of what ends where a block ends.
        blocks = [b for b in blocks if not any(b.startswith(f"{other}.") for other in blocks)]
        left = Counter(type(modules[b]) for b in blocks)
        repeated = [b for b in blocks if left[type(modules[b])] > 1]
        within = tuple(f"{b}." for b in blocks)
        ends = {at[b] for b in blocks}
        units: list[tuple[str, str]] = []
        closed = True
        idle = (nn.Dropout, nn.Identity, nn.Flatten, nn.AdaptiveAvgPool2d)
        for name in sorted(at, key=at.__getitem__):
            module = modules[name]
            if name in blocks:
                units.append((name, name))
                closed = True
            elif name.startswith(within) or at[name] in ends:
                continue
            elif name in composite:
                if not closed and at[name] > at[units[-1][1]]:
                    units[-1] = (units[-1][0], name)
            elif any(module.children()):
                continue
            elif any(p.ndim > 1 for p in module.parameters()):
                units.append((name, name))
                closed = False
            elif not (closed or isinstance(module, idle)):
                units[-1] = (units[-1][0], name)
        return repeated, units


def _cuts(end: Any, images: Tensor) -> dict[Any, int]:
    """Return the nodes of a graph of gradients that every path passes, with their positions.

    Every path leads through a node if the paths to it times the paths from it are all paths.
    """
    order: list[Any] = []
    seen = set()
    stack = [(end, False)]
    while stack:
        node, done = stack.pop()
        if done:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack += [(after, False) for after, _ in node.next_functions if after is not None]
    down: dict[Any, int] = {}
    for node in order:
        is_image = getattr(node, "variable", None) is images
        down[node] = int(is_image) or sum(
            down[after] for after, _ in node.next_functions if after is not None
        )
    up = Counter({end: 1})
    for node in reversed(order):
        for after, _ in node.next_functions:
            if after is not None:
                up[after] += up[node]
    through = (node for node in order if down[node] and up[node] * down[node] == down[end])
    return {node: index for index, node in enumerate(through)}


def only_tensor(output: Any) -> Tensor | None:
    """Return what a module gives, where that is one tensor: alone, or with nothing beside it."""
    import torch

    if isinstance(output, tuple | list) and output and all(other is None for other in output[1:]):
        output = output[0]
    return output if isinstance(output, torch.Tensor) else None


def _told(output: Any) -> str:
    if isinstance(output, tuple | list):
        return f"{type(output).__name__} of {', '.join(type(each).__name__ for each in output)}"
    return type(output).__name__


def as_tokens(output: Tensor, layout: Tokens) -> Tensor | None:
    """Return a layer's output as tokens (n, T, D), those of maps with channels last among them.

    None if it gives none.
    """
    if output.ndim == 3:
        return output
    return output.flatten(1, 2) if output.ndim == 4 and layout.channels_last else None


def features_of(output: Any, layout: Tokens = WHOLE, tokens: str = ALL) -> Tensor:
    """Return a layer's output as features (n_images, n_features).

    Parameters
    ----------
    output : Tensor, or a tuple of one and nothing else
    layout : Tokens
        Of the network.
    tokens : {"all", "class", "mean", "patches"}
        What of the tokens, where it gives tokens: all as one row, the one of the class, or
        those of patches as one row or as their mean.

    Raises
    ------
    ValueError
        If it is not one tensor.
    """
    given = only_tensor(output)
    if given is None:
        raise ValueError(f"a layer gives {_told(output)}, not one tensor")
    laid = None if tokens == ALL else as_tokens(given, layout)
    if laid is None:
        return given.flatten(1)
    # Where a layer gives fewer tokens than places, as attention pools do, none is a prefix.
    patches = laid[:, layout.prefix :] if laid.shape[1] > layout.prefix else laid
    picked = {CLASS: laid[:, 0], MEAN: patches.mean(1), PATCHES: patches}[tokens]
    return picked.flatten(1)


def as_maps(output: Any, layout: Tokens) -> Tensor | None:
    """Return a layer's output as maps (n, channels, height, width); None if it gives none.

    Tokens of patches are laid out as the patches are in the image, those before them left out.
    """
    given = only_tensor(output)
    if given is None or given.ndim not in (3, 4):
        return None
    if given.ndim == 4:
        maps = given.permute(0, 3, 1, 2) if layout.channels_last else given
        return maps if maps.shape[-1] == maps.shape[-2] else None  # attention by heads
    patches = given[:, layout.prefix :]
    edge = isqrt(patches.shape[1])
    if edge**2 != patches.shape[1]:
        return None
    return patches.mT.reshape(len(patches), -1, edge, edge)


def choose_layers(model: nn.Module, layers: Any) -> list[str]:
    """Return the names of layers as configured: given, or chosen by :meth:`Trace.auto`.

    Parameters
    ----------
    model : nn.Module
    layers : list of str, ``auto``, or an object whose ``auto`` is their number

    Raises
    ------
    InputError
        If a layer does not exist.
    """
    if isinstance(layers, list | tuple):
        check_layers(model, layers)
        return list(layers)
    return Trace(origin_of(model)).auto(getattr(layers, "auto", N_AUTO))


def check_layers(model: nn.Module, layers: Sequence[str], where: str = "backbone.layers") -> None:
    """Make sure that a network has the named layers.

    Parameters
    ----------
    model : nn.Module
    layers : sequence of str
    where : str
        Configuration key of the names, for the message.

    Raises
    ------
    InputError
        Naming the first layer that does not exist, and the nearest that does.
    """
    names = [name for name, _ in model.named_modules() if name]
    for layer in layers:
        if layer not in names:
            close = difflib.get_close_matches(layer, names, n=3)
            raise InputError(
                where,
                repr(layer),
                f"the name of a module of {type(model).__name__}",
                f"Did you mean {' or '.join(close)}?"
                if close
                else f"It has {', '.join(names[:20])}. `cortune layers` lists them; `layers: auto` "
                "chooses.",
            )


@contextmanager
def captured_layers(
    model: nn.Module, layers: Sequence[str], tokens: str = ALL
) -> Iterator[dict[str, Tensor]]:
    """Yield a dict that each forward pass fills with the layers' features.

    Outputs are copied as they pass, (n_images, n_features), since a later in-place ReLU
    would change them. The hooks are removed on exit.
    """
    outputs: dict[str, Tensor] = {}
    layout = WHOLE if tokens == ALL else tokens_of(model)

    def keep(name: str, output: Any) -> None:
        outputs[name] = features_of(output, layout, tokens).detach().clone()

    modules: Mapping[str, nn.Module] = dict(model.named_modules())
    handles = [
        modules[name].register_forward_hook(lambda _m, _i, output, name=name: keep(name, output))
        for name in layers
    ]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def layer_width(model: nn.Module, layer: str, input_size: int) -> int:
    """Return the number of features of a layer for square images of a size."""
    import torch

    was_training = model.training
    with torch.no_grad(), captured_layers(model.eval(), [layer]) as outputs:
        model(torch.zeros(1, 3, input_size, input_size))
    model.train(was_training)
    return outputs[layer].shape[1]
