"""Every setting, in one table: flags beat `LONGTAKE_*` variables, those beat a TOML file, that beats the defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

MIB = 1 << 20
GIB = 1 << 30
IN_LOWER_CASE = BeforeValidator(lambda said: said.lower() if isinstance(said, str) else said)


class Settings(BaseSettings):
    """What can be set. Each field is `LONGTAKE_<NAME>` in the environment and `<name>` in `longtake.toml`."""

    model_config = SettingsConfigDict(env_prefix="LONGTAKE_", toml_file="longtake.toml", extra="forbid", frozen=True)

    data: Path = Field(Path("longtake-data"), description="Folder that holds everything; one process owns it.")
    host: str = Field("127.0.0.1", description="Address to listen on; only loopback until there are accounts.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    allowed_hosts: tuple[str, ...] = Field(
        ("localhost", "127.0.0.1", "[::1]"), description="Host headers that are answered (against DNS rebinding)."
    )
    engine: str = Field(
        "auto", description="Speech engine: auto, none, pocketsphinx, or whisper:<model> (see `longtake models list`)."
    )
    language: Annotated[str, IN_LOWER_CASE] = Field(
        "auto", description="Language that engines hear: auto (as each utterance sounds), or a code such as en or de."
    )
    cost_per_hour_usd: dict[str, Annotated[float, Field(ge=0)]] = Field(
        {}, description="What an engine asks for an hour of sound, by its name, in US dollars; others are free."
    )
    models_folder: Path | None = Field(
        None, description="Folder of the speech models; by default `models` in the data folder."
    )
    max_segment_bytes: int = Field(256 * MIB, gt=0, description="Largest segment that is taken.")
    max_import_bytes: int = Field(64 * GIB, gt=0, description="Largest whole file that is taken.")
    max_queued_bytes: int = Field(
        256 * MIB, gt=0, description="Bodies that wait for the disk at once; more is answered with 429."
    )
    min_free_bytes: int = Field(
        64 * MIB, ge=0, description="Room that is kept free on the disk: a body that would use it is answered with 507."
    )
    min_recording_minutes: float = Field(
        10.0, ge=0, description="Of so much recording there must be room on the disk, or none is begun (507)."
    )
    media_workers: int = Field(2, ge=1, description="Media lanes that run at once.")
    job_workers: int = Field(5, ge=1, description="Enrichment jobs that run at once.")
    utterance_timeout_s: float = Field(120.0, gt=0, description="Longest time the engine may take for one utterance.")
    decode_timeout_s: float = Field(120.0, gt=0, description="Longest silence of a decoder before it is ended.")
    degraded_after_s: float = Field(
        30.0, gt=0, description="Silence of a recorder that turns its track degraded; a minute more without heartbeats."
    )
    interrupted_after_s: float = Field(
        120.0, gt=0, description="Silence of all recorders that interrupts a session; a minute more without heartbeats."
    )
    cleanup_every_s: float = Field(3600.0, gt=0, description="How often what lies idle is ended, or goes when empty.")
    idle_hours: float = Field(24.0, gt=0, description="After how long without activity a session lies idle.")
    waiting_minutes: float = Field(
        30.0, gt=0, description="The same for a session that waits for its second participant."
    )
    trash_hours: float = Field(24.0, ge=0, description="How long a deleted session lies in the trash.")
    gc_hours: float = Field(
        24.0, ge=0, description="How long bytes are kept that nothing refers to any more, such as those of the deleted."
    )
    attachment_cache_bytes: int = Field(64 * MIB, ge=0, description="Memory for stored bytes that are asked for often.")
    log_level: Annotated[Literal["debug", "info", "warning", "error"], IN_LOWER_CASE] = Field(
        "info", description="debug, info, warning or error."
    )
    log_format: Literal["auto", "json", "text"] = Field(
        "auto", description="json, text, or auto: text on a terminal, else json."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the base class names it
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags, then the environment, then `longtake.toml` in the working folder."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @property
    def models(self) -> Path:
        """Where speech models are installed."""
        return self.models_folder or self.data / "models"
