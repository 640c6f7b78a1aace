"""Models by name and version in one folder, published whole or not at all.

::

    <root>/<model>/<version>/manifest.json ...   an immutable version: integers from 1
    <root>/<model>/aliases.json                  {"production": 3}
    <root>/<model>/config.json ...               or a plain Hugging Face folder: version 1
    <root>/.publishing/                          versions on their way; stale ones are swept
    <root>/.cache/                               exports of plain folders, downloads

Names that start with a dot are never models. Readers take no lock: a version appears by one rename.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from contracts.errors import CheckpointError, UnknownModel
from model_store.aliases import Aliases
from model_store.files import Progress, locked, sync, sync_tree, write_atomically
from model_store.hashing import seal
from model_store.manifest import MANIFEST_NAME, Manifest, Promotion, read_manifest, write_manifest
from model_store.names import MODEL_NAME, VERSION_NAME, check_alias, check_name
from model_store.sources import CACHE_NAME, open_plain
from model_store.staging import staged_folder, sweep
from model_store.version import ModelVersion

HIGHEST_NAME = ".highest"
"""The highest version that was removed: its number is never given again."""
PRODUCTION = "production"


class Store:
    """The models under one root folder, which need not exist yet."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def cache_root(self) -> Path:
        """Where exports of plain folders and downloads are kept."""
        return self.root / CACHE_NAME

    def names(self) -> list[str]:
        """Every model, sorted; also those whose versions are broken."""
        if not self.root.is_dir():
            return []
        return sorted(
            folder.name
            for folder in self.root.iterdir()
            if MODEL_NAME.fullmatch(folder.name) and (_numbers(folder) or _is_plain(folder))
        )

    def versions(self, name: str) -> list[ModelVersion]:
        """The good versions of one model, oldest first.

        Raises:
            UnknownModel: no such model.
        """
        self._known(name)
        return [one for one in self._read_all(name) if isinstance(one, ModelVersion)]

    def scan(self) -> tuple[list[ModelVersion], list[tuple[str, CheckpointError]]]:
        """Everything in the store: the good versions, and what is broken by ``name@version``."""
        good: list[ModelVersion] = []
        broken: list[tuple[str, CheckpointError]] = []
        for name in self.names():
            try:
                self._aliases(name).check(_numbers(self.root / name))
            except CheckpointError as error:
                broken.append((name, error))
            for one in self._read_all(name):
                if isinstance(one, ModelVersion):
                    good.append(one)
                else:
                    broken.append(one)
        return good, broken

    def resolve(self, reference: str) -> ModelVersion:
        """Find ``name``, ``name@3`` or ``name@alias``.

        A plain name is the version that the alias ``production`` points to, else the highest.

        Raises:
            UnknownModel: nothing of that name; the sentence says what exists.
            CheckpointError: it exists and is broken.
        """
        name, _, wanted = reference.partition("@")
        self._known(name)
        if not _numbers(self.root / name):
            if wanted in ("", "1"):
                return self._read(name, 1)
            raise UnknownModel(f"{name} is a plain folder: its only version is {name}@1.")
        numbers = _numbers(self.root / name)
        if wanted.isdecimal():
            number = int(wanted)
        else:
            aliases = self.aliases(name)
            if wanted and wanted not in aliases:
                raise UnknownModel(_what_exists(name, wanted, numbers, aliases))
            number = aliases.get(wanted or PRODUCTION, numbers[-1])
        if number not in numbers:
            aliases = self._aliases(name).read_if_whole()
            raise UnknownModel(_what_exists(name, str(number), numbers, aliases))
        return self._read(name, number)

    def aliases(self, name: str) -> dict[str, int]:
        """The aliases of a model and the versions they point to.

        Raises:
            CheckpointError: ``aliases.json`` is broken.
        """
        return self._aliases(name).read()

    def publish(
        self,
        name: str,
        build: Callable[[Path], Manifest],
        *,
        progress: Progress | None = None,
    ) -> ModelVersion:
        """Make the next version of a model, whole or not at all.

        Args:
            name: of the model, new or known.
            build: fills an empty folder with the version's files and returns its manifest, in which
                hashes and sizes need not be filled in.
            progress: told the bytes that are hashed.

        Returns:
            The version, which is on the disk: a crash at any earlier point leaves no trace.

        Raises:
            CheckpointError: the name is not allowed, or what was built does not match its manifest.
        """
        check_name(name)
        home = self.root / name
        if _is_plain(home) and not _numbers(home):
            raise CheckpointError(
                f"{home} is a plain checkpoint folder; publish under another name."
            )
        sweep(self.root)
        with staged_folder(self.root) as folder:
            manifest = seal(folder, build(folder), progress)
            write_manifest(folder / MANIFEST_NAME, manifest)
            read_manifest(folder)
            sync_tree(folder)
            home.mkdir(exist_ok=True)
            sync(self.root)
            while True:
                number = max([0, *_numbers(home), _highest_removed(home)]) + 1
                try:
                    folder.rename(home / str(number))
                except OSError:
                    if not (home / str(number)).exists():
                        raise
                    continue  # somebody else published it in between: take the next number
                break
            sync(home)
        return self._read(name, number)

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Point an alias of a model to a version.

        Raises:
            CheckpointError: the alias is not a name (integers are versions).
            UnknownModel: no such model or version.
        """
        check_alias(alias)
        self._known(name)
        with locked(self.root / name):
            aliases = self.aliases(name)
            if version not in _numbers(self.root / name):
                known = _numbers(self.root / name)
                raise UnknownModel(_what_exists(name, str(version), known, aliases))
            self._aliases(name).point(alias, version)

    def promote(self, name: str, version: int, promotion: Promotion) -> None:
        """Point an alias to a version for a reason, which is written into its manifest first.

        So an alias never moves without its record. The rest of a version never changes.

        Args:
            name: of the model.
            version: what the alias will point to.
            promotion: names the alias, and the version that it pointed to when both were compared.

        Raises:
            CheckpointError: the alias was moved by somebody else in between.
            UnknownModel: no such model or version.
        """
        self._known(name)
        alias = promotion.alias
        with locked(self.root / name):
            now = self.aliases(name).get(alias)
            if now != promotion.replaced:
                raise CheckpointError(
                    f"{name}@{alias} was moved to {now} while versions were compared; try again."
                )
            manifest = self.resolve(f"{name}@{version}").manifest
            recorded = manifest.model_copy(update={"promotions": [*manifest.promotions, promotion]})
            write_atomically(
                self.root / name / str(version) / MANIFEST_NAME,
                recorded.model_dump_json(indent=2) + "\n",
            )
            self._aliases(name).point(alias, version)

    def remove(self, name: str, version: int) -> None:
        """Delete one version; its number is not used again.

        Raises:
            CheckpointError: an alias points to it.
            UnknownModel: no such model or version.
        """
        self._known(name)
        home = self.root / name
        with locked(home):
            aliases = self.aliases(name)
            if version not in _numbers(home):
                raise UnknownModel(_what_exists(name, str(version), _numbers(home), aliases))
            pointing = sorted(alias for alias, number in aliases.items() if number == version)
            if pointing:
                raise CheckpointError(
                    f"{name}@{version} is {pointing[0]}; point that alias to another version first."
                )
            highest = max(version, _highest_removed(home))
            write_atomically(home / HIGHEST_NAME, str(highest))
            with staged_folder(self.root) as folder:
                (home / str(version)).rename(folder / str(version))
                sync(home)

    def _aliases(self, name: str) -> Aliases:
        return Aliases(self.root / name)

    def _known(self, name: str) -> None:
        names = self.names()
        if name not in names:
            known = ", ".join(names) if names else "none"
            raise UnknownModel(f"There is no model {name!r}; models: {known}.")

    def _read_all(self, name: str) -> Iterator[ModelVersion | tuple[str, CheckpointError]]:
        for number in _numbers(self.root / name) or [1]:
            try:
                yield self._read(name, number)
            except CheckpointError as error:
                yield f"{name}@{number}", error

    def _read(self, name: str, number: int) -> ModelVersion:
        home = self.root / name
        if not _numbers(home):
            return open_plain(name, home, cache_root=self.cache_root)
        folder = home / str(number)
        # A broken file is told by scan, and by resolve where an alias is asked for.
        aliases = self._aliases(name).read_if_whole()
        pointing = tuple(sorted(alias for alias, target in aliases.items() if target == number))
        return ModelVersion(name, number, folder, read_manifest(folder), aliases=pointing)


def _numbers(home: Path) -> list[int]:
    if not home.is_dir():
        return []
    return sorted(
        int(folder.name)
        for folder in home.iterdir()
        if VERSION_NAME.fullmatch(folder.name) and folder.is_dir()
    )


def _is_plain(home: Path) -> bool:
    return (home / "config.json").is_file()


def _highest_removed(home: Path) -> int:
    path = home / HIGHEST_NAME
    return int(path.read_text()) if path.exists() else 0


def _what_exists(name: str, wanted: str, numbers: list[int], aliases: dict[str, int]) -> str:
    known = [str(number) for number in numbers] + sorted(aliases)
    return f"There is no {name}@{wanted}; {name} has {', '.join(known)}."
