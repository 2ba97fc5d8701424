"""Models are installed whole or not at all."""

import hashlib
import json
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from longtake.model.errors import EngineError, Invalid, NotFound, Unavailable
from longtake.speech import models
from longtake.speech.download import fetch_snapshot
from tests.speech.sounds import DATA

MODEL = DATA / "tiny-whisper"


def ignore(there, total):
    """Progress that nobody watches."""


def test_a_folder_becomes_an_engine(tmp_path):
    told = []

    info = models.install(str(MODEL), tmp_path, lambda there, total: told.append((there, total)))

    assert (info.name, info.languages, info.is_draft) == ("whisper:tiny-whisper", ("en",), False)
    assert models.installed(tmp_path) == ["tiny-whisper"]
    assert told[-1][0] == told[-1][1] == sum(file.stat().st_size for file in MODEL.iterdir())


def test_installing_again_replaces_and_removing_removes(tmp_path):
    models.install(str(MODEL), tmp_path, ignore)
    models.install(str(MODEL), tmp_path, ignore)

    models.remove("tiny-whisper", tmp_path)

    assert list(tmp_path.iterdir()) == []
    with pytest.raises(NotFound):
        models.remove("tiny-whisper", tmp_path)


def test_a_model_whose_name_begins_as_anothers_leaves_its_half_download_alone(tmp_path):
    half = tmp_path / "whisper-base.partial"
    half.mkdir(parents=True)
    (half / "model.bin.part").write_bytes(b"half")
    english = tmp_path / "base.en"
    shutil.copytree(MODEL, english)

    models.install(str(english), tmp_path, ignore)
    models.remove("base.en", tmp_path)

    assert (half / "model.bin.part").read_bytes() == b"half"
    models.remove("base", tmp_path)
    assert not half.exists()


@pytest.mark.parametrize("name", ["..", "a/../../b", "", "."])
def test_nothing_outside_the_models_folder_is_removed(tmp_path, name):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "whisper-a").mkdir()

    with pytest.raises(NotFound):
        models.remove(name, tmp_path / "models")


def test_a_name_that_is_not_in_the_catalogue_is_refused_with_those_that_are(tmp_path):
    with pytest.raises(Invalid, match="choose one of tiny, base, small, turbo, or give a folder's path"):
        models.install("huge", tmp_path, ignore)


def test_a_folder_without_a_model_is_refused_and_leaves_nothing(tmp_path):
    (tmp_path / "empty").mkdir()
    models_dir = tmp_path / "models"

    with pytest.raises(Invalid, match=r"it has no config\.json, model\.bin, tokenizer\.json"):
        models.install(str(tmp_path / "empty"), models_dir, ignore)
    with pytest.raises(Invalid, match="there is no folder"):
        models.install(str(tmp_path / "none"), models_dir, ignore)

    assert list(models_dir.iterdir()) == []


def test_offline_the_error_names_the_way_out(tmp_path):
    with pytest.raises(Unavailable, match=r"Try again when this machine is online, or .* install /path/to/base"):
        models.install("base", tmp_path, ignore)

    assert models.installed(tmp_path) == []


def test_a_damaged_model_says_how_to_mend_it(tmp_path):
    models.install(str(MODEL), tmp_path, ignore)
    (models.folder_of("tiny-whisper", tmp_path) / "config.json").write_text("{")

    with pytest.raises(EngineError, match="run `longtake models remove tiny-whisper`"):
        models.engine_info("whisper:tiny-whisper", tmp_path)


class Hub:
    """A model hub on loopback that serves one repository; no file goes further than `cut_after` bytes."""

    def __init__(self, files):
        self.files = files
        self.cut_after = 10**9
        self.answers_short = False
        """Whether it sends half of the file as the whole, whatever range is asked for."""
        self.ranges: list[tuple[str, int]] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                parts = self.path.split("?")[0].strip("/").split("/")
                if parts[:2] == ["api", "models"]:
                    self.send(json.dumps(hub.about()).encode(), 0)
                elif parts[2:4] == ["resolve", "a" * 40]:
                    first = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
                    hub.ranges.append((parts[-1], first))
                    body = hub.files[parts[-1]]
                    self.send(body[: len(body) // 2] if hub.answers_short else body, 0 if hub.answers_short else first)

            def send(self, body, first):
                self.send_response(206 if first else 200)
                self.send_header("Content-Length", str(len(body) - first))
                self.end_headers()
                self.wfile.write(body[first : max(first, hub.cut_after)])
                self.close_connection = True

            def log_message(self, *args):
                """Silent."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def about(self):
        """What the hub says of the repository: its commit, and each file's size and digest."""
        siblings = []
        for name, body in self.files.items():
            sha256 = hashlib.sha256(body).hexdigest()
            lfs = {"size": len(body), "sha256": sha256, "pointerSize": 134}
            siblings.append({"rfilename": name, "size": len(body), "blobId": sha256[:40], "lfs": lfs})
        return {"id": "some/model", "sha": "a" * 40, "siblings": siblings}

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def hub(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    hub = Hub({file.name: file.read_bytes() for file in MODEL.iterdir()} | {"README.md": b"not wanted"})
    yield hub
    hub.close()


def fetch(folder, hub, progress=ignore):
    fetch_snapshot("some/model", folder, models.WANTED, progress, endpoint=hub.url)


def test_a_model_is_downloaded_with_progress(tmp_path, hub):
    told = []

    fetch(tmp_path, hub, lambda there, total: told.append((there, total)))

    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {
        name: body for name, body in hub.files.items() if name != "README.md"
    }
    assert told == sorted(told)
    assert told[-1] == (sum(file.stat().st_size for file in MODEL.iterdir()),) * 2


def test_a_download_that_broke_off_goes_on_where_it_was(tmp_path, hub):
    hub.cut_after = 500_000
    with pytest.raises(Unavailable):
        fetch(tmp_path, hub)
    assert models.installed(tmp_path) == []
    hub.cut_after = 10**9
    hub.ranges.clear()

    fetch(tmp_path, hub)

    assert ("model.bin", 500_000) in hub.ranges
    assert (tmp_path / "model.bin").read_bytes() == hub.files["model.bin"]
    assert not list(tmp_path.glob("*.part"))


def test_a_download_that_starts_anew_each_time_ends(tmp_path, hub):
    hub.answers_short = True

    with pytest.raises(Unavailable, match="arrived incomplete"):
        fetch(tmp_path, hub)

    assert len(hub.ranges) <= 2 * len(hub.files)


def test_a_file_that_arrives_damaged_is_not_kept(tmp_path, hub):
    about = hub.about()
    hub.about = lambda: about
    hub.files["model.bin"] = bytes(len(hub.files["model.bin"]))

    with pytest.raises(Unavailable, match=r"model\.bin arrived damaged"):
        fetch(tmp_path, hub)

    assert not list(tmp_path.glob("model.bin*"))


def test_a_repository_that_changed_is_fetched_anew(tmp_path, hub):
    hub.cut_after = 500_000
    with pytest.raises(Unavailable):
        fetch(tmp_path, hub)
    hub.cut_after = 10**9
    hub.files["model.bin"] = b"another model"

    fetch(tmp_path, hub)

    assert (tmp_path / "model.bin").read_bytes() == b"another model"
    assert not list(tmp_path.glob("*.part"))
