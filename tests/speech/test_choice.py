"""Which engine hears, and in which language."""

import shutil

import pytest

from longtake.model.errors import EngineError
from longtake.speech import models
from longtake.speech.choice import Choice
from longtake.speech.whisper import LANGUAGES, WhisperEngine
from longtake.speech.worker import SpeechWorker
from tests.speech import multilingual
from tests.speech.sounds import DATA


def install(folder, models_dir, name):
    shutil.copytree(folder, models.folder_of(name, models_dir))


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A model of 99 languages."""
    return multilingual.make(tmp_path_factory.mktemp("multilingual") / "many")


@pytest.fixture
def both(tmp_path, many):
    """An English model, and a larger one of many languages."""
    install(DATA / "tiny-whisper", tmp_path, "base.en")
    install(many, tmp_path, "many")
    return tmp_path


def test_the_best_engine_is_the_default(tmp_path):
    assert Choice(models_dir=tmp_path / "none").default() == "pocketsphinx"

    models.install(str(DATA / "tiny-whisper"), tmp_path, lambda there, total: None)
    larger = models.folder_of("larger", tmp_path)
    larger.mkdir()
    for file in (DATA / "tiny-whisper").iterdir():
        (larger / file.name).write_bytes(file.read_bytes() + b" " * 9)

    assert models.installed(tmp_path) == ["larger", "tiny-whisper"]
    assert Choice(models_dir=tmp_path).default() == "whisper:larger"
    names = [info.name for info in models.engines(tmp_path)]
    assert names == ["whisper:larger", "whisper:tiny-whisper", "pocketsphinx"]


def test_the_best_engine_that_knows_the_language_is_the_default(both):
    english = models.folder_of("base.en", both) / "model.bin"
    english.write_bytes(english.read_bytes() + bytes(1_000_000))

    assert Choice(models_dir=both).default() == "whisper:base.en"
    assert Choice(models_dir=both, language="de").default() == "whisper:many"
    assert Choice(models_dir=both, language="de", engine="pocketsphinx").default() == "pocketsphinx"


@pytest.mark.parametrize(
    ("engine", "language", "told"),
    [
        ("whisper:many", "auto", None),
        ("whisper:many", "de", "de"),
        ("whisper:many", "en", "en"),
        ("whisper:base.en", "en", None),  # it hears nothing else
        ("pocketsphinx", "en", None),
        ("none", "de", None),
    ],
)
def test_only_an_engine_that_knows_several_languages_is_told_one(both, engine, language, told):
    assert Choice(models_dir=both, language=language).language_for(engine) == told


@pytest.mark.parametrize(
    ("engine", "language", "said"),
    [
        (
            "pocketsphinx",
            "de",
            "pocketsphinx does not know the language de, only en: run `longtake models install base`",
        ),
        ("whisper:base.en", "pt", "whisper:base.en does not know the language pt, only en"),
        ("whisper:many", "yue", "whisper:many does not know the language yue: run `longtake models install turbo`"),
        ("whisper:gone", "de", "the speech model gone is not installed"),
    ],
)
def test_an_engine_that_does_not_know_the_language_is_refused(both, engine, language, said):
    with pytest.raises(EngineError) as refused:
        Choice(models_dir=both, engine=engine, language=language).check(engine)
    assert said in refused.value.detail
    assert (refused.value.code, refused.value.is_retryable) == ("engine_unavailable", False)


def test_without_a_model_that_knows_the_language_the_best_engine_is_refused_too(tmp_path):
    with pytest.raises(EngineError, match="pocketsphinx does not know the language de"):
        Choice(models_dir=tmp_path, language="de").check("auto")
    Choice(models_dir=tmp_path, language="en").check("auto")


@pytest.mark.parametrize("language", ["xx", "german", "de-DE", ""])
def test_a_language_that_no_engine_knows_is_refused_with_those_that_are_known(tmp_path, language):
    with pytest.raises(EngineError, match=r"choose auto or one of: af, am, .*, yue, zh$"):
        Choice(models_dir=tmp_path, language=language)


def test_the_languages_are_those_of_the_library():
    from faster_whisper import tokenizer

    assert sorted(LANGUAGES) == sorted(tokenizer._LANGUAGE_CODES)


def test_whisper_writes_the_language_that_it_is_told(many, jfk):
    engine = WhisperEngine(many)

    heard = {language: engine.recognise(jfk[2560:38400], language).text for language in (None, "en", "de", "ru")}

    assert heard[None] in heard.values()
    assert len({heard["en"], heard["de"], heard["ru"]}) == 3


def test_the_worker_tells_its_child_the_language(both, jfk):
    worker = SpeechWorker(both)
    try:
        heard = {language: worker.recognise("whisper:many", jfk[2560:38400], language) for language in ("en", "de")}
        direct = WhisperEngine(models.folder_of("many", both))
        assert heard == {language: direct.recognise(jfk[2560:38400], language) for language in heard}
        assert heard["en"] != heard["de"]
    finally:
        worker.close()
