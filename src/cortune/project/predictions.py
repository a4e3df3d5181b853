"""Probes of the networks, and what is made from their predictions."""

from __future__ import annotations

from pathlib import Path

from cortune.project.records import Network
from cortune.project.transfers import Transfers
from cortune.versions import UNTUNED


class Predictions(Transfers):
    """Paths of probes and saliency, of all networks of an owner and method together."""

    @property
    def probes(self) -> list[str]:
        """Names of the probes, sorted."""
        return self.versions.probes

    @property
    def has_landscape(self) -> bool:
        """Whether networks are placed in a landscape."""
        return bool(self.probes) and self.config.landscape is not None

    @property
    def has_saliency(self) -> bool:
        """Whether saliency is mapped."""
        return bool(self.probes) and self.config.saliency is not None

    def networks_of(self, owner: str, method: str) -> list[Network]:
        """Return the networks of one method and owner, :attr:`Network.owner`."""
        return [n for n in self.networks if (n.owner, n.method) == (owner, method)]

    def probe_images(self, name: str, probe: str | None = None) -> str:
        """Return the path of a file of a probe's prepared images, by default saliency's."""
        probe = probe or self._saliency_probe
        return self.path("prepare_probe", f"probe-{probe}/{name}", probe=probe)

    @property
    def _saliency_probe(self) -> str:
        saliency = self.config.saliency
        return "" if saliency is None else saliency.probe or ""

    def probe_folder(self, owner: str, method: str, probe: str | None = None) -> Path:
        """Return the folder of the probes of all networks of an owner and method.

        The probe is by default that of saliency.
        """
        probe = probe or self._saliency_probe
        version = self.versions.of("probe_network", method=method, probe=probe)
        inside = f"{version}/probe-{probe}/{owner}/method-{method}"
        return Path(self.results, "probe_network", inside)

    def saliency_folder(self, owner: str, method: str) -> Path:
        """Return the folder of the saliency of all networks of an owner and method."""
        version = self.versions.of("map_saliency", method=method)
        return Path(self.results, "map_saliency", f"{version}/{owner}/method-{method}")

    def probe_folders(self) -> list[str]:
        """Return the folders of the probes of all networks."""
        found = [
            self.probe_folder(network.owner, network.method, probe).as_posix()
            for probe in self.probes
            for network in self.networks
        ]
        return list(dict.fromkeys(found))

    def saliency_folders(self) -> list[str]:
        """Return the folders of the saliency of all networks."""
        found = [self.saliency_folder(n.owner, n.method).as_posix() for n in self._looked_into]
        return list(dict.fromkeys(found))

    @property
    def _looked_into(self) -> list[Network]:
        """Networks whose saliency is mapped."""
        wanted = None if self.config.saliency is None else self.config.saliency.methods
        return [n for n in self.networks if wanted is None or n.method in (*wanted, UNTUNED)]

    def probed(self, network: Network, probe: str) -> str:
        """Return the path of a network's probe."""
        folder = self.probe_folder(network.owner, network.method, probe)
        return (folder / network.folder / "probe.h5").as_posix()

    def saliency(self, network: Network) -> str:
        """Return the path of a network's saliency."""
        folder = self.saliency_folder(network.owner, network.method)
        return (folder / network.folder / "saliency.h5").as_posix()

    def all_probed(self) -> list[str]:
        """Return the paths of the probes of all networks."""
        return [self.probed(network, probe) for probe in self.probes for network in self.networks]

    def all_saliency(self) -> list[str]:
        """Return the paths of the saliency of all networks."""
        return [self.saliency(network) for network in self._looked_into]
