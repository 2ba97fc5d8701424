"""The scoreboard's runner, over benchmarks made for the purpose."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.figures import Figure
from tests.conftest import ROOT

HEAD = "import os\n\nfrom bench.figures import Figure\n\n\ndef run(smoke):\n"
FAST = HEAD + '    return [Figure(name="end", value=0.25, target="≤ 0.5", unit="s", detail=f"smoke {smoke}")]\n'
SLOW = HEAD + '    return [Figure(name="end", value=0.75, target="≤ 0.5", unit="s")]\n'
LACKING = HEAD + '    return [Figure(name="PUT", value=None, target="≥ 1.5", unit="×", detail="needs nginx-light")]\n'
RAISING = HEAD + '    raise OSError("no room")\n'
DYING = HEAD + "    os.abort()\n"


def run_bench(folder: Path, *options: str, **modules: str) -> subprocess.CompletedProcess[str]:
    """A run of the real runner in a folder that has these benchmarks."""
    (folder / "bench").mkdir()
    for name in ("__init__", "__main__", "figures"):
        shutil.copy(ROOT / f"bench/{name}.py", folder / "bench")
    for name, text in modules.items():
        (folder / f"bench/{name}.py").write_text(text)
    return subprocess.run([sys.executable, "-m", "bench", *options], cwd=folder, capture_output=True, text=True)


def test_figures_are_printed_and_written(tmp_path):
    run = run_bench(tmp_path, "--json", "out.json", fast=FAST, lacking=LACKING)
    assert run.returncode == 0, run.stderr
    assert "needs nginx-light" in run.stdout
    report = json.loads((tmp_path / "out.json").read_text())
    assert [(row["name"], row["value"], row["reached"]) for row in report["figures"]] == [
        ("end", 0.25, True),
        ("PUT", None, None),
    ]


@pytest.mark.parametrize(("options", "code"), [((), 1), (("--smoke",), 0)])
def test_a_missed_target_fails_the_measurement_but_not_the_smoke_run(tmp_path, options, code):
    assert run_bench(tmp_path, *options, slow=SLOW).returncode == code


@pytest.mark.parametrize("crash", [RAISING, DYING], ids=["raises", "dies"])
def test_a_crash_fails_the_smoke_run_and_the_others_still_run(tmp_path, crash):
    run = run_bench(tmp_path, "--smoke", a_crash=crash, fast=FAST)
    assert run.returncode == 1
    assert "smoke True" in run.stdout
    assert "crashed: a_crash" in run.stdout


def test_only_the_named_benchmarks_run(tmp_path):
    assert run_bench(tmp_path, "fast", fast=FAST, crash=RAISING).returncode == 0


def test_an_unknown_name_is_refused_with_the_known_ones(tmp_path):
    run = run_bench(tmp_path, "nonesuch", fast=FAST)
    assert run.returncode == 2
    assert "there are fast" in run.stderr


@pytest.mark.parametrize(("value", "reached"), [(1.5, True), (1.49, False), (None, None)])
def test_a_figure_knows_whether_it_reached_its_target(value, reached):
    assert Figure(name="PUT", value=value, target="≥ 1.5", unit="×").reached is reached


@pytest.mark.parametrize("target", ["1.5", "<= 1.5", "≤ fast"])
def test_a_target_without_sign_or_number_is_refused(target):
    with pytest.raises(ValueError, match=r"target|float"):
        Figure(name="PUT", value=1.0, target=target, unit="×")
