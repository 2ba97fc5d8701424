"""`longtake process`: a recording in, everything that is made of it out."""

import json
import os
import re
import shutil
import signal
from pathlib import Path

import jiwer
import pytest

from tests.cli.program import ENDS_WITHIN_S, length_of_wav, longtake, started, wait_for_line, write_tone
from tests.conftest import ROOT
from tests.speech import multilingual

JFK = ROOT / "tests/data/jfk.flac"
JFK_SECONDS = 11
SAID = (
    "and so my fellow americans ask not what your country can do for you ask what you can do for your country"
)  # fmt: skip
KINDS = {"recording", "audio", "mp3", "transcript", "srt", "vtt", "json", "notes", "log"}
SAME = ("recording", "audio", "mp3", "srt", "vtt")
"""What holds neither ids nor times of day: equal in every run."""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """What comes out of the real speech."""
    folder = tmp_path_factory.mktemp("made")
    shutil.copy(JFK, folder)
    run = longtake("process", "jfk.flac", "--engine", "pocketsphinx", "--json", cwd=folder)
    assert run.returncode == 0, run.stderr
    return artifacts(run.stdout, folder)


@pytest.fixture
def there(tmp_path):
    """A folder with the real speech."""
    shutil.copy(JFK, tmp_path)
    return tmp_path


def artifacts(printed: str, folder: Path) -> dict[str, Path]:
    """File type → path, from what `--json` prints."""
    return {one["file_type"]: folder / one["path"] for one in json.loads(printed)["artifacts"]}


def contents(paths: dict[str, Path]) -> dict[str, bytes]:
    return {kind: paths[kind].read_bytes() for kind in SAME}


def one_line(stderr: str) -> str:
    """The only line that is an error."""
    lines = [line for line in stderr.splitlines() if line.startswith("longtake: ")]
    assert len(lines) == 1, stderr
    assert "Traceback" not in stderr
    return lines[0]


def test_a_recording_becomes_all_its_files(made):
    assert set(made) == KINDS
    assert all(path.stat().st_size for path in made.values())
    assert {path.parent.name for path in made.values()} == {"jfk.longtake"}


def test_the_wav_has_the_length_of_the_recording(made):
    samples, rate_hz = length_of_wav(made["recording"])
    assert samples == JFK_SECONDS * rate_hz


def test_the_offline_engine_hears_the_sentence(made):
    document = json.loads(made["json"].read_text())
    heard = " ".join(entry["text"] for entry in document["entries"])
    assert jiwer.wer(SAID, heard) <= 0.35


def test_the_second_time_it_answers_with_what_there_is(made):
    out = made["recording"].parent
    before = {path: path.stat().st_mtime_ns for path in made.values()}
    run = longtake("process", "jfk.flac", cwd=out.parent)
    assert run.returncode == 0, run.stderr
    assert "Done before" in run.stderr
    assert {out.parent / line for line in run.stdout.splitlines() if line.startswith("jfk.longtake")} == set(before)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_what_is_deleted_is_written_again(made):
    content = made["srt"].read_bytes()
    made["srt"].unlink()
    assert longtake("process", "jfk.flac", cwd=made["srt"].parent.parent).returncode == 0
    assert made["srt"].read_bytes() == content


def test_killed_in_the_middle_it_goes_on_and_ends_the_same(there, made):
    with started("process", "jfk.flac", "--engine", "pocketsphinx", cwd=there) as child:
        wait_for_line(child, "audio: ")
        child.kill()
    run = longtake("process", "jfk.flac", "--engine", "pocketsphinx", "--json", cwd=there)
    assert run.returncode == 0, run.stderr
    assert "goes on" in run.stderr
    assert contents(artifacts(run.stdout, there)) == contents(made)


def test_ctrl_c_ends_it_in_order_and_it_goes_on(there, made):
    with started("process", "jfk.flac", "--engine", "pocketsphinx", cwd=there) as child:
        wait_for_line(child, "transcript: ")
        os.killpg(child.pid, signal.SIGINT)
        _, stderr = child.communicate(timeout=ENDS_WITHIN_S)
    assert child.returncode == 1
    assert "goes on from there" in one_line(stderr)
    run = longtake("process", "jfk.flac", "--engine", "pocketsphinx", "--json", cwd=there)
    assert run.returncode == 0, run.stderr
    assert contents(artifacts(run.stdout, there)) == contents(made)


def test_several_files_become_tracks_of_one_session(tmp_path):
    write_tone(tmp_path / "ana.wav", seconds=2)
    write_tone(tmp_path / "ben.wav", seconds=3, hz=660)
    run = longtake("process", "ana.wav", "ben.wav", "--engine", "none", "--title", "Two", "--json", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    assert told["session"]["title"] == "Two"
    assert [(t["name"], t["duration_ms"]) for t in told["session"]["tracks"]] == [("ana", 2000), ("ben", 3000)]
    assert [(t["stored_ms"], t["gaps"]) for t in told["coverage"]["tracks"]] == [(2000, []), (3000, [])]
    samples, rate_hz = length_of_wav(artifacts(run.stdout, tmp_path)["recording"])
    assert samples == 3 * rate_hz


def test_files_of_one_name_are_numbered_and_none_is_left_out(tmp_path):
    (tmp_path / "y").mkdir()
    files = ("a.wav", "y/a.wav", "a 2.wav")
    for seconds, name in enumerate(files, 1):
        write_tone(tmp_path / name, seconds=seconds)
    run = longtake("process", *files, "--engine", "none", "--json", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    tracks = json.loads(run.stdout)["session"]["tracks"]
    assert [(t["name"], t["duration_ms"]) for t in tracks] == [("a", 1000), ("a 2", 2000), ("a 2 2", 3000)]


def test_a_name_that_is_no_utf8_is_read_as_far_as_it_can_be(tmp_path):
    name = os.fsdecode(b"Ges\xe4ng.wav")
    write_tone(tmp_path / name, seconds=1)
    run = longtake("process", name, "--title", os.fsdecode(b"Ch\xf6re"), "--engine", "none", "--json", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    assert (told["session"]["title"], told["session"]["tracks"][0]["name"]) == ("Ch\ufffdre", "Ges\ufffdng")
    assert all((tmp_path / one["path"]).exists() for one in told["artifacts"])
    again = longtake("process", name, "--engine", "none", cwd=tmp_path)
    assert (again.returncode, "Done before" in again.stderr) == (0, True), again.stderr


def test_the_coverage_stands_beside_the_files(tmp_path):
    write_tone(tmp_path / "ana.wav", seconds=2)
    run = longtake("process", "ana.wav", "--engine", "none", cwd=tmp_path)
    assert "ana: 2.000 s of 2.000 s are there" in run.stdout


def test_one_damaged_file_of_two_is_named_and_the_other_is_kept(tmp_path):
    write_tone(tmp_path / "ana.wav", seconds=2)
    (tmp_path / "ben.flac").write_bytes(JFK.read_bytes()[:200] + b"damaged" * 1000)
    run = longtake("process", "ana.wav", "ben.flac", "--engine", "none", "--out", "out", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert re.match(r"longtake: media_\w+: ben: ", one_line(run.stderr))
    assert "ana: 2.000 s of 2.000 s are there" in run.stdout


def test_a_file_that_breaks_off_gives_what_there_is_and_says_so(tmp_path):
    (tmp_path / "cut.flac").write_bytes(JFK.read_bytes()[:600_000])
    run = longtake("process", "cut.flac", "--engine", "none", cwd=tmp_path)
    assert run.returncode == 0
    assert one_line(run.stderr).startswith("longtake: media_damaged: cut: ")
    assert "recording.wav" in run.stdout


def test_a_damaged_file_is_one_clear_line(tmp_path):
    (tmp_path / "bad.flac").write_bytes(JFK.read_bytes()[:200] + b"damaged" * 1000)
    for _ in range(2):
        run = longtake("process", "bad.flac", "--engine", "none", cwd=tmp_path)
        assert run.returncode == 1
        assert re.match(r"longtake: media_\w+: bad: ", one_line(run.stderr))


def test_a_text_is_refused_and_leaves_nothing(tmp_path):
    (tmp_path / "notes.txt").write_text("hello\n")
    run = longtake("process", "notes.txt", cwd=tmp_path)
    assert run.returncode == 1
    assert one_line(run.stderr).startswith("longtake: unsupported_media: notes.txt ")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("words", [(), ("nowhere.wav",), ("--out",), ("--speed", "9")])
def test_misuse_is_one_line_and_another_exit_code(words, tmp_path):
    run = longtake("process", *words, cwd=tmp_path)
    assert run.returncode == 2
    assert one_line(run.stderr).startswith("longtake: misuse: ")


def test_a_folder_holds_one_recording(tmp_path):
    write_tone(tmp_path / "ana.wav", seconds=1)
    assert longtake("process", "ana.wav", "--engine", "none", "--out", "out", cwd=tmp_path).returncode == 0
    write_tone(tmp_path / "ana.wav", seconds=1, hz=550)
    run = longtake("process", "ana.wav", "--engine", "none", "--out", "out", cwd=tmp_path)
    assert run.returncode == 1
    assert one_line(run.stderr).startswith("longtake: already_exists: ")


def test_an_engine_that_is_not_there_is_said_before_anything_is_done(there):
    run = longtake("process", "jfk.flac", "--engine", "whisper:base", cwd=there)
    assert run.returncode == 1
    assert "longtake models install base" in one_line(run.stderr)
    assert [path.name for path in there.iterdir()] == ["jfk.flac"]


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("de", "pocketsphinx does not know the language de, only en: run `longtake models install base`"),
        ("xx", "af, am"),
    ],
)
def test_a_language_that_no_engine_knows_is_said_before_anything_is_done(there, language, said):
    run = longtake("process", "jfk.flac", "--language", language, cwd=there)
    assert run.returncode == 1
    assert one_line(run.stderr).startswith("longtake: engine_unavailable: ")
    assert said in run.stderr
    assert [path.name for path in there.iterdir()] == ["jfk.flac"]


def test_a_folder_holds_one_language(there, monkeypatch):
    multilingual.make(there / "models/whisper-many")
    monkeypatch.setenv("LONGTAKE_MODELS_FOLDER", str(there / "models"))
    heard = {}
    for language in ("de", "ru"):
        run = longtake("process", "jfk.flac", "--language", language, "--out", language, cwd=there)
        assert run.returncode == 0, run.stderr
        heard[language] = captions(there / language)
    assert heard["de"] != heard["ru"]

    run = longtake("process", "jfk.flac", "--language", "ru", "--out", "de", cwd=there)
    assert run.returncode == 1
    assert "already_exists: de holds this recording heard as de, not as ru" in one_line(run.stderr)
    again = longtake("process", "jfk.flac", "--out", "de", cwd=there)
    assert (again.returncode, captions(there / "de")) == (0, heard["de"])


def captions(folder):
    [path] = folder.glob("*.srt")
    return path.read_text()
