"""Which engine hears what nobody has chosen one for, and which language engines are told to hear."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from longtake.model.errors import EngineError
from longtake.speech import models, pocketsphinx, whisper

AUTO = "auto"
NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What the settings say: an engine's name, `auto` or `none`; a language's code or `auto`.

    Raises:
        EngineError: No engine knows the language.
    """

    models_dir: Path
    engine: str = AUTO
    language: str = AUTO

    def __post_init__(self) -> None:
        if self.language not in (AUTO, *whisper.LANGUAGES):
            known = ", ".join(sorted(whisper.LANGUAGES))
            raise _unavailable(f"no speech engine knows the language {self.language}; choose auto or one of: {known}")

    def default(self) -> str:
        """The engine for what is new: the best that is there and knows the language, unless one is set."""
        if self.engine != AUTO:
            return self.engine
        names = [whisper.PREFIX + name for name in models.installed(self.models_dir)]
        return next((name for name in names if self._is_known_to(name)), pocketsphinx.INFO.name)

    def language_for(self, engine: str) -> str | None:
        """What an engine is told to hear; None where it finds out by itself or knows one language only.

        Raises:
            EngineError: `engine_unavailable`: unknown, not installed, or not for the language; says what to do.
        """
        if engine == NONE:
            return None
        info = models.engine_info(engine, self.models_dir)
        if self.language == AUTO or info.languages == (self.language,):
            return None
        if self.language in info.languages:
            return self.language
        only = f", only {info.languages[0]}" if len(info.languages) == 1 else ""
        other = "base" if self.language in whisper.LANGUAGES[:BASE_LANGUAGES] else "turbo"
        raise _unavailable(
            f"{engine} does not know the language {self.language}{only}: "
            f"run `longtake models install {other}` and choose whisper:{other}"
        )

    def check(self, engine: str) -> None:
        """Raise EngineError for an engine that cannot be used, or not for the language."""
        if engine != AUTO or self.language != AUTO:
            self.language_for(self.default() if engine == AUTO else engine)

    def _is_known_to(self, engine: str) -> bool:
        return self.language == AUTO or self.language in models.engine_info(engine, self.models_dir).languages


BASE_LANGUAGES = 99
"""So many do the models of the catalogue know, and the largest one more."""


def _unavailable(detail: str) -> EngineError:
    return EngineError(detail, code="engine_unavailable", retryable=False)
