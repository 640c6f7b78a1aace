"""Every setting of the server: one declaration gives env var, flag, default and help.

``SERVE_<NAME>`` in the environment, ``--<name>`` on the command line, which wins.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from model_store.backends.base import BackendChoice, BackendName, DeviceName, PrecisionName
from model_store.backends.cpu import compute_threads


class Settings(BaseSettings):
    """What one server does; immutable once it runs."""

    model_config = SettingsConfigDict(env_prefix="SERVE_", extra="ignore", frozen=True)

    store: Path = Field(default=Path("store"), description="Folder of published models.")
    model: Annotated[list[str], NoDecode] = Field(
        default=[],
        description="Also serve NAME=FOLDER_OR_HUB_ID (repeat; in the environment: commas).",
    )
    default_model: str | None = Field(
        default=None, description="The model behind POST / and /invocations; default: the only one."
    )
    strict: bool = Field(default=False, description="Refuse to start when any model is refused.")

    backend: BackendName = Field(
        default="auto", description="Runtime; auto: the fastest verified one on this machine."
    )
    precision: PrecisionName = Field(
        default="auto", description="Numbers the runtime computes with."
    )
    device: DeviceName = Field(default="auto", description="Where models run.")
    threads: int | None = Field(
        default=None, ge=1, description="Compute threads per engine; default: the CPU quota."
    )
    streams: int | None = Field(
        default=None,
        ge=1,
        description="Batches that one engine runs at once, each with its share of the threads;"
        " default: 2 where there are 2 threads, 1 on a GPU.",
    )
    engines_per_device: int = Field(default=1, ge=1, description="Engine processes per device.")
    http_processes: int = Field(
        default=1, ge=1, description="HTTP processes; one is enough for a few thousand requests/s."
    )

    host: Literal["127.0.0.1", "0.0.0.0", "::"] = Field(
        default="127.0.0.1", description="Address to listen on."
    )
    port: int = Field(default=8000, ge=1024, le=65535, description="Port to listen on.")
    api_key: str | None = Field(
        default=None, description="Ask for this key as Bearer token or X-API-Key.", repr=False
    )
    admin_key: str | None = Field(
        default=None,
        description="Open /admin (load, unload, aliases) to who sends this key; default: closed.",
        repr=False,
    )
    keys_file: Path | None = Field(
        default=None,
        description="Ask for a key of this file, made by `tuneserve keys new`; reread on change.",
    )
    cors_origins: Annotated[list[str], NoDecode] = Field(
        default=[], description="Origins whose pages may ask, or *; default: none."
    )
    trusted_proxies: Annotated[list[str], NoDecode] = Field(
        default=[],
        description="Addresses or networks whose X-Forwarded-For and -Proto are believed, or *.",
    )
    tls_cert: Path | None = Field(
        default=None, description="Certificate and its chain in PEM; then the port speaks HTTPS."
    )
    tls_key: Path | None = Field(default=None, description="The certificate's key in PEM.")

    timeout_s: float = Field(
        default=30.0, gt=0, description="Deadline of a request that brings no X-Request-Timeout-Ms."
    )
    generation_timeout_s: float = Field(
        default=120.0, gt=0, description="As timeout_s, of models that generate; the whole answer."
    )
    max_waiting: int = Field(
        default=512, ge=1, description="Requests that may wait; beyond, the answer is 429."
    )
    max_generation_waiting: int = Field(
        default=128, ge=1, description="As max_waiting, of models that generate, apart from others."
    )
    max_items: int = Field(default=256, ge=1, description="Inputs in one request.")
    max_body_bytes: int = Field(default=2_000_000, ge=1, description="Size of one request body.")
    max_characters: int = Field(default=1_000_000, ge=1, description="Characters in one request.")
    max_bulk_jobs: int = Field(
        default=4, ge=1, description="Bulk jobs that may run at once; beyond, the answer is 429."
    )
    bulk_spool_mb: int = Field(
        default=512,
        ge=0,
        description="Answers of one bulk job that wait on disk for a client that does not read.",
    )
    batch_tokens: int | None = Field(
        default=None,
        ge=16,
        description="Padded tokens of one batch; default: measured on a CPU, 16384 on a GPU.",
    )

    cache_mb: int = Field(
        default=0,
        ge=0,
        description="Answers that each HTTP process keeps for those who ask the same again, but of"
        " models that generate; 0: none.",
    )

    generation_nice: int = Field(
        default=10,
        ge=0,
        le=19,
        description="By how much the engine that generates steps back behind others on a CPU.",
    )
    kv_cache_mb: int = Field(
        default=1024,
        ge=1,
        description="Key-value cache of each model that generates; what fits runs at once.",
    )

    drain_timeout_s: float = Field(
        default=30.0, gt=0, description="Time to answer what was accepted, after SIGTERM."
    )
    engine_timeout_s: float = Field(
        default=60.0, gt=0, description="An engine silent for so long is ended and started again."
    )
    gzip: bool = Field(default=False, description="Compress answers above 1,000 bytes.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least level that is logged."
    )
    access_log: bool = Field(default=True, description="Log a line per request, without its text.")

    @field_validator("model", mode="before")
    @classmethod
    def _split_commas(cls, value: object) -> object:
        return [part for part in value.split(",") if part] if isinstance(value, str) else value

    @field_validator("cors_origins", "trusted_proxies", mode="before")
    @classmethod
    def _split_all_commas(cls, value: object) -> object:
        given = [value] if isinstance(value, str) else value
        if not isinstance(given, list):
            return given
        return [part.strip() for one in given for part in str(one).split(",") if part.strip()]

    @field_validator("model")
    @classmethod
    def _name_and_reference(cls, value: list[str]) -> list[str]:
        for one in value:
            name, equals, reference = one.partition("=")
            if not (name and equals and reference):
                raise ValueError(f"{one!r} is not NAME=FOLDER_OR_HUB_ID")
        return value

    @model_validator(mode="after")
    def _certificate_has_a_key(self) -> "Settings":
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key belong together: give both")
        return self

    def backend_choice(self, device: DeviceName, streams: int = 1) -> BackendChoice:
        """What an engine on that kind of device loads models with."""
        return BackendChoice(self.backend, self.precision, device, self.threads, streams)

    def batches_at_once(self, device: DeviceName) -> int:
        """How many batches the engine on that kind of device runs at the same time."""
        if self.streams is not None:
            return self.streams
        threads = self.threads or compute_threads()
        return 2 if device == "cpu" and threads > 1 else 1
