"""What the server finds in a store that is partly broken."""

from pathlib import Path

from model_store.store import Store
from server.catalog import find_models
from server.settings import Settings
from tests.model_store.checkpoints import build_version, plain_folder


def test_a_broken_newest_version_leaves_the_others_served(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    for name in ("intent", "other"):
        store.publish(name, build_version)
        store.publish(name, build_version)
    store.set_alias("intent", "stable", 1)
    (store.root / "intent" / "2" / "manifest.json").write_text("{")
    (store.root / "other" / "aliases.json").write_text('{"production": 9}')
    folder = plain_folder(tmp_path / "it")
    settings = Settings(store=store.root, model=[f"mine={folder}", "gone=./nowhere"])
    found = find_models(settings)
    assert [one.id for one in found.versions] == ["intent@1", "mine@1"]
    refused = [(one.name, one.version) for one in found.refused]
    assert [name for name, _ in refused] == ["intent", "other", "gone"]
    assert refused[0][1] == 2
    plain = found.versions[-1]
    assert plain.cache_folder is not None
    assert plain.cache_folder.is_relative_to(store.cache_root)
