"""NOTICE against the licences that the locked packages declare."""

import re
from importlib import metadata

from packaging.utils import canonicalize_name

from tests.conftest import ROOT

COPYLEFT = re.compile(r"\b[AL]?GPL|\bMPL|Mozilla")


def licence(name: str) -> str:
    """What an installed package says of its licence, in any of the fields that were ever in use."""
    fields = metadata.metadata(name)
    classifiers = [line for line in fields.get_all("Classifier", []) if line.startswith("License")]
    return " ".join([*fields.get_all("License-Expression", []), *fields.get_all("License", []), *classifiers])


def test_every_package_under_a_copyleft_licence_is_named():
    locked = set(re.findall(r"^([a-z0-9][a-z0-9._-]*)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    installed = locked & {canonicalize_name(distribution.name) for distribution in metadata.distributions()}
    copyleft = {name for name in installed if COPYLEFT.search(licence(name))}
    notice = (ROOT / "NOTICE").read_text()
    assert "lameenc" in copyleft
    assert {name for name in copyleft if f"`{name}`" not in notice} == set()


def test_the_encoders_that_make_the_media_wheel_gpl_are_named():
    carried = {str(file) for file in metadata.files("av") or [] if "av.libs" in str(file)}
    notice = (ROOT / "NOTICE").read_text()
    for encoder in ("x264", "x265"):
        assert any(f"lib{encoder}" in name for name in carried) == (encoder in notice)
