"""Networks of which a part is tuned, in every stage that reads them; timm says what they give."""

from __future__ import annotations

from copy import deepcopy

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file
from tiny import TINY

pytestmark = [pytest.mark.workflow, pytest.mark.long]

# timm's smallest, and what of their state tuning may change.
NETWORKS = {
    "vit": ("timm/test_vit", {"lora": {"rank": 2, "alpha": 8}}, "blocks.1", "blocks.4", "lora_"),
    "resnet": ("timm/test_resnet", {"last_blocks": 1}, "layer2.0", "layer4.0", "layer4.0. fc."),
}
# The last stages that read networks, and what of them names methods.
TABLES = {
    "tabulate_transfer": "transfer_subjects.csv",
    "tabulate_probes": "probes.csv",
    "tabulate_lateralization": "lateralization.csv",
    "embed_networks": "landscape.csv",
    "tabulate_encoders": "encoders.csv",
}


def configuration(name, adapt, first, last):
    config = deepcopy(TINY)
    del config["datasets"]["nod"], config["transfer"]["datasets"], config["similarity"]
    del config["encoding"]["size_curve"]
    config["backbone"] |= {"name": name, "layers": [first, last]}
    config["tuning"] |= {"methods": ["untuned", "contrastive"], "adapt": adapt}
    config["contrastive"] |= {"epochs": 2, "learning_rate": 3.0e-2}
    config["export"] = {"methods": ["contrastive"]}
    config["probes"]["scenes"] |= {"layer": last}
    config["saliency"] |= {"layer": last}
    return config


def gram_by_timm(exported, layer, pictures):
    """Return the centred products of pictures by timm's own network with the exported weights."""
    import timm

    model = timm.create_model(f"local-dir:{exported}", pretrained=True).eval()
    found = []
    model.get_submodule(layer).register_forward_hook(lambda _m, _i, out: found.append(out))
    shown = model.pretrained_cfg
    mean, std = (torch.tensor(shown[key])[:, None, None] for key in ("mean", "std"))
    with torch.no_grad():
        model((torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255 - mean) / std)
    features = found[0].flatten(1).double().numpy()
    features -= features.mean(axis=0)
    return features @ features.T


@pytest.mark.parametrize("kind", NETWORKS)
def test_an_adapted_network_goes_all_the_way(workspace, kind):
    name, adapt, first, last, changed = NETWORKS[kind]
    config = workspace.write_config(configuration(name, adapt, first, last))
    workspace.run(config, "--until", *TABLES)
    results, subject = workspace.folder / "results", "ds-nsd/sub-subj01"

    def made(stage, file):
        (path,) = results.glob(f"{stage}/*/{file}")
        return path

    for stage, table in TABLES.items():
        assert "contrastive" in set(pd.read_csv(made(stage, table))["method"]), table

    unit = "hemi-lh/roi-V1v/method-contrastive/rep-0"
    files = (f"tune_network/*/{subject}/{unit}", "prepare_backbone/*")
    (saved, base) = (
        {key.removeprefix("backbone.") for key in load_file(path) if key.startswith("backbone.")}
        for file in files
        for path in results.glob(f"{file}/network.safetensors")
    )
    if kind == "vit":  # two matrices beside each of four layers of six blocks
        assert all(changed in key for key in saved) and len(saved) == 2 * 4 * 6
    else:
        assert saved == {key for key in base if key.startswith(tuple(changed.split()))}

    chosen = ("--configfile", str(config), "--subject", "subj01", "--out", "exported")
    done = workspace.cortune("export", *chosen)
    assert done.returncode == 0, done.stderr
    index = pd.read_csv(made("prepare_images", f"{subject}/index.csv"))
    images = np.load(made("prepare_images", f"{subject}/images.npy"))
    paths = [
        made("extract_features", f"{subject}/{which}/grams.h5")
        for which in (unit, "hemi-all/roi-all/method-untuned/rep-0")
    ]
    with h5py.File(paths[0]) as file, h5py.File(paths[1]) as start:
        identities = np.char.decode(file["identities"][:], "utf-8")
        rows = pd.Index(index["identity"]).get_indexer(identities)
        expected = gram_by_timm(workspace.folder / "exported", last, images[rows])
        found, before = (each[f"layers/{last}"][:] for each in (file, start))
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * scale)
    assert np.abs(found - before).max() > 1e-2 * scale, "tuning changed nothing"
