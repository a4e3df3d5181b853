"""All measurements: `make bench`. Writes latest.json here and docs/benchmarks.md.

Each script of this folder measures one matter, side by side with the alternative, and can
be run by itself. They run one after the other, each in a process of its own, all with the
same number of threads. Nothing else should compute meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable
from typing import Any

from timing import HERE, in_child, machine

SCRIPTS: dict[str, tuple[tuple[str, ...], ...]] = {
    "ridge.py": ((), ("--voxels", "30000", "--runs", "3", "--against", "himalaya RidgeCV")),
    "components.py": ((),),
    "evaluation.py": ((),),
    "pca.py": ((),),
    "memory.py": (("--images", "1000"),),
    "growth.py": ((),),
    "dag.py": ((),),
    "integrity.py": ((),),
    "predict.py": ((),),
    "tuning.py": (
        (),
        ("--backbone", "alexnet", "--input-size", "224", "--batch-size", "64", "--n-images", "256"),
    ),
}
# At least, and what is aimed at: times as fast (or, for planning, seconds and gigabytes).
GOALS = (
    ("ridge and scores, n=6692, 1000 PCs, V=700", "scikit-learn", "ratio", 20, 40),
    ("ridge and scores, n=6692, 1000 PCs, V=700", "himalaya RidgeCV", "ratio", 10, 20),
    ("ridge and scores, n=6692, 1000 PCs, V=30000", "himalaya RidgeCV", "ratio", 4.5, 6),
    ("whole evaluation", "published", "ratio", 30, 100),
    ("PCA of 64896", "float32", "peak_gb", 6, 3),
    ("all tokens of all blocks", "in memory", "peak_gb", 4, 2),
    ("tuning, alexnet", "bare", "ratio", 0.90, 0.97),
    ("dry run", "", "seconds", 60, 20),
    ("integrity", "", "share", 0.01, 0.005),
)
DOCUMENT = HERE.parent / "docs" / "benchmarks.md"


def goal(row: dict[str, Any]) -> str:
    """Return what a row should reach, and whether it does."""
    for what, against, key, least, aim in GOALS:
        if row["what"].startswith(what) and against in row.get("against", ""):
            below = key in ("peak_gb", "seconds", "share")
            reached = [
                (row[key] <= limit) if below else (row[key] >= limit) for limit in (least, aim)
            ]
            state = "aim reached" if reached[1] else "reached" if reached[0] else "missed"
            sign = "<" if below else "≥"
            return f"{sign} {least:g} (aim {aim:g}): {state}"
    return ""


def figures(row: dict[str, Any], rate: float) -> str:
    """Return a row's measurements in words; `rate` is that of large products, GFLOP/s."""
    parts = []
    if "seconds" in row:
        parts.append(f"{row['seconds']:.3g} s")
    if "gemm_gflop" in row:
        parts.append(f"matrix products alone at least {row['gemm_gflop'] / rate:.3g} s")
    if "share" in row:
        parts.append(f"{100 * row['share']:.2f} % of the jobs' time")
    if "images_per_s" in row:
        parts.append(f"{row['images_per_s']:.0f} images/s")
    if "megabytes" in row:
        parts.append(f"{row['megabytes']:.1f} MB")
        parts.append(f"predictions change by {row['change_of_predictions']:.1e} of their RMS")
    if "peak_gb" in row:
        parts.append(f"{row['peak_gb']:.2f} GB at most")
    if "jobs" in row:
        parts.append(f"{row['jobs']} jobs")
    if "gflops" in row:
        parts.append(f"{row['gflops']:.0f} GFLOP/s")
    if "forward_passes_per_image" in row:
        parts.append(f"{row['forward_passes_per_image']:.0f} forward pass per image")
    if "time_exponent" in row:
        parts.append(f"time ~ size^{row['time_exponent']:.2f}")
        parts.append(f"memory ~ size^{row['memory_exponent']:.2f}")
        parts.append("peak " + ", ".join(f"{gb:.2f}" for gb in row["peak_gb_by_size"]) + " GB")
    return "; ".join(parts)


def other(row: dict[str, Any]) -> str:
    """Return the alternative and its measurements."""
    if "against" not in row:
        return ""
    parts = []
    if "seconds_other" in row:
        parts.append(f"{row['seconds_other']:.3g} s")
    if "images_per_s_other" in row:
        parts.append(f"{row['images_per_s_other']:.0f} images/s")
    if "megabytes_other" in row:
        parts.append(f"{row['megabytes_other']:.1f} MB")
    if "peak_gb_other" in row:
        parts.append(f"{row['peak_gb_other']:.2f} GB at most")
    if "forward_passes_per_image_other" in row:
        parts.append(f"{row['forward_passes_per_image_other']:.0f} forward passes per image")
    if row.get("runs_other") == 1:
        parts.append("one run")
    return f"{row['against']}: {'; '.join(parts)}"


def table(rows: Iterable[dict[str, Any]], rate: float) -> list[str]:
    """Return the rows as a Markdown table."""
    lines = [
        "| what | ours | against | times as fast | max abs Δr | goal |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        ratio = f"{row['ratio']:.3g}" if "ratio" in row else ""
        difference = f"{row['max_abs_r_difference']:.1e}" if "max_abs_r_difference" in row else ""
        cells = (row["what"], figures(row, rate), other(row), ratio, difference, goal(row))
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def document(result: dict[str, Any]) -> str:
    """Return docs/benchmarks.md."""
    machine_ = result["machine"]
    rates = machine_["gemm_gflops"]
    libraries = ", ".join(f"{name} {version}" for name, version in machine_["libraries"].items())
    introduction = (HERE / "README.md").read_text(encoding="utf-8")
    return "\n".join(
        [
            introduction.rstrip(),
            "",
            f"Measured on {machine_['processor']}, {machine_['threads']} threads, Python "
            f"{machine_['python']}, {libraries}. A matrix product reaches {rates['float32']} "
            f"GFLOP/s in float32 and {rates['float64']} in float64 there. Medians of paired rounds "
            "unless one run is stated.",
            "",
            *table(result["rows"], rates["float32"]),
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=SCRIPTS, default=list(SCRIPTS))
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(options.threads)
    rows = []
    for script in options.only:
        for arguments in SCRIPTS[script]:
            started = time.perf_counter()
            rows += in_child(script, *arguments)["rows"]
            said = " ".join((script, *arguments))
            print(f"{said}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
    result = {"machine": machine(options.threads), "rows": rows}
    print("\n".join(table(rows, result["machine"]["gemm_gflops"]["float32"])))
    if options.only == list(SCRIPTS):
        (HERE / "latest.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        DOCUMENT.write_text(document(result), encoding="utf-8")


if __name__ == "__main__":
    main()
