"""The smallest configuration under which nearly every rule has a job; about a minute to run."""

TINY = {
    "datasets": {
        "nsd": {
            "layout": "algonauts2023",
            "subjects": ["subj01", "subj02"],
            "rois": ["V1v"],
            "simulate": {
                "n_images": 100,
                "n_shared": 30,
                "n_test_images": 2,
                "image_size": 32,
                "n_classes": 5,
                "vertices": {"V1v": {"lh": 30, "rh": 0}, "FBA-1": 3},
            },
        },
        "nod": {
            "layout": "nod",
            "subjects": ["sub01"],
            "rois": ["V1"],
            "top_vertices": 25,
            "simulate": {"n_images": 60, "image_size": 32, "n_classes": 5, "run_trials": 30},
        },
    },
    "split": {"tune": 0.4, "validation": 0.2, "test": 0.4},
    "backbone": {
        "name": "alexnet_small",
        "weights": "random",
        "input_size": 64,
        "layers": ["features.2", "features.12"],
    },
    "tuning": {
        "dataset": "nsd",
        "methods": ["untuned", "regression", "contrastive", "pooled_mean"],
        # Numbers that are pinned must not depend on whether a processor has bfloat16.
        "precision": "float32",
    },
    "regression": {"epochs": 2, "batch_size": 16},
    "contrastive": {"epochs": 3, "batch_size": 16, "learning_rate": 1.0e-4},
    "encoding": {
        "folds": 3,
        "protocols": ["heldout_cv"],
        "size_curve": {"sizes": [10], "methods": ["untuned"]},
    },
    "statistics": {"n_bootstrap": 100, "n_permutations": 100},
    "transfer": {
        "subjects": True,
        "methods": ["contrastive"],
        "datasets": [{"source": "nsd", "target": "nod", "rois": {"V1": ["V1v"]}}],
    },
    "probes": {"scenes": {"kind": "scenes", "n_images": 60, "n_classes": 3}},
    "similarity": {"methods": ["untuned", "contrastive"], "n_bootstrap": 50},
    "landscape": {"methods": ["inpca"], "n_permutations": 100},
    "export": {"methods": ["untuned", "contrastive"]},
    "saliency": {
        "probe": "scenes",
        "n_images": 10,
        "n_permutations": 100,
        "methods": ["contrastive"],
    },
}
