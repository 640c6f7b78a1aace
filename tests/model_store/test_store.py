"""The store: what is published is whole, what is broken is named, what is referenced is found."""

import json
import os
import pickle
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from contracts.errors import CheckpointError, UnknownModel
from model_store.hashing import sha256_of, verify_hashes
from model_store.manifest import Manifest
from model_store.store import Store
from tests.model_store.checkpoints import build_version, plain_folder


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def forked(work: Callable[[], None]) -> int:
    """Run in a child process without its imports; the wait status."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return child


def status(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


# --- publish and resolve


def test_a_published_version_has_its_hashes_and_sizes(store: Store) -> None:
    version = store.publish("intent", build_version)
    assert version.id == "intent@1"
    assert version.folder == store.root / "intent" / "1"
    artifact = version.artifact("onnx", "fp32")
    assert artifact is not None
    assert artifact.sha256 == sha256_of(version.folder / "onnx" / "model.onnx")
    assert artifact.bytes == 5
    assert artifact.scores == {"f1": 0.5}
    assert set(version.manifest.files) == {"config.json", "tokenizer.json"}
    verify_hashes(version)


def test_a_version_pickles(store: Store) -> None:
    version = store.publish("intent", build_version)
    assert pickle.loads(pickle.dumps(version)) == version


def test_a_reference_is_a_name_a_version_or_an_alias(store: Store) -> None:
    for _ in range(3):
        store.publish("intent", build_version)
    assert store.resolve("intent").version == 3
    assert store.resolve("intent@2").version == 2
    store.set_alias("intent", "production", 1)
    store.set_alias("intent", "next", 3)
    assert store.resolve("intent").version == 1
    assert store.resolve("intent@next").version == 3
    assert store.resolve("intent@production").aliases == ("production",)
    assert [one.version for one in store.versions("intent")] == [1, 2, 3]


@pytest.mark.parametrize(
    ("reference", "exists"),
    [
        ("other", "models: intent"),
        ("intent@7", "intent has 1, 2, production"),
        ("intent@staging", "intent has 1, 2, production"),
        ("../store/intent", "models: intent"),
        ("intent/1", "models: intent"),
        ("", "models: intent"),
    ],
)
def test_an_unknown_reference_is_told_what_exists(
    store: Store, reference: str, exists: str
) -> None:
    store.publish("intent", build_version)
    store.publish("intent", build_version)
    store.set_alias("intent", "production", 1)
    with pytest.raises(UnknownModel, match=exists):
        store.resolve(reference)


def test_an_empty_store_has_no_models(store: Store) -> None:
    assert store.names() == []
    assert store.scan() == ([], [])
    with pytest.raises(UnknownModel, match="models: none"):
        store.resolve("intent")


def test_a_build_that_fails_leaves_no_trace(store: Store) -> None:
    store.publish("intent", build_version)

    def fail(folder: Path) -> Manifest:
        build_version(folder)
        raise RuntimeError("out of luck")

    def forget(folder: Path) -> Manifest:
        manifest = build_version(folder)
        (folder / "model.safetensors").unlink()
        return manifest

    with pytest.raises(RuntimeError, match="out of luck"):
        store.publish("intent", fail)
    with pytest.raises(CheckpointError, match=r"no file model\.safetensors"):
        store.publish("intent", forget)
    assert [one.version for one in store.versions("intent")] == [1]
    assert list((store.root / ".publishing").iterdir()) == []


def test_publishing_into_a_plain_folder_is_refused(store: Store) -> None:
    plain_folder(store.root / "mine")
    with pytest.raises(CheckpointError, match="plain checkpoint folder"):
        store.publish("mine", build_version)


# --- crashes and company


def test_kill_at_any_point_leaves_the_store_as_before_or_as_after(store: Store) -> None:
    """Every audited system call of a publish is a point: the child kills itself before it."""
    store.publish("intent", build_version)
    points = 0
    while True:
        before = [one.version for one in store.versions("intent")]

        def publish_and_die(after: int = points) -> None:
            left = after

            def die(event: str, args: object) -> None:
                nonlocal left
                if event == "open" or event.startswith(("os.", "shutil.", "fcntl.")):
                    left -= 1
                    if left == -1:
                        os.kill(os.getpid(), signal.SIGKILL)

            sys.addaudithook(die)
            store.publish("intent", build_version)

        code = status(forked(publish_and_die))
        good, broken = store.scan()
        assert broken == []
        for version in good:
            verify_hashes(version)
        now = [one.version for one in good]
        assert now in (before, [*before, before[-1] + 1])
        if code == 0:
            break
        assert code == -signal.SIGKILL
        points += 1
    assert points > 20
    store.publish("intent", build_version)
    assert list((store.root / ".publishing").iterdir()) == []


def test_a_sweep_spares_a_publish_that_is_alive(store: Store) -> None:
    def publish_another_meanwhile(folder: Path) -> Manifest:
        manifest = build_version(folder)
        store.publish("other", build_version)
        return manifest

    verify_hashes(store.publish("intent", publish_another_meanwhile))
    assert store.names() == ["intent", "other"]


def test_publishers_at_once_get_a_number_each(store: Store) -> None:
    def publish(value: float) -> None:
        for _ in range(5):
            store.publish("intent", lambda folder: build_version(folder, value))

    children = [forked(lambda value=value: publish(value)) for value in (1.0, 2.0, 3.0)]
    assert [status(child) for child in children] == [0, 0, 0]
    versions = store.versions("intent")
    assert [one.version for one in versions] == list(range(1, 16))
    for version in versions:
        verify_hashes(version)
    hashes = [version.manifest.artifacts[0].sha256 for version in versions]
    assert sorted(map(hashes.count, set(hashes))) == [5, 5, 5]


def test_the_next_number_is_taken_when_somebody_was_faster(store: Store) -> None:
    def late(folder: Path) -> Manifest:
        store.publish("intent", build_version)
        return build_version(folder)

    assert store.publish("intent", late).version == 2


# --- removal


def test_a_version_with_an_alias_is_not_removed(store: Store) -> None:
    store.publish("intent", build_version)
    store.publish("intent", build_version)
    store.set_alias("intent", "production", 1)
    with pytest.raises(CheckpointError, match="intent@1 is production"):
        store.remove("intent", 1)
    store.set_alias("intent", "production", 2)
    store.remove("intent", 1)
    assert [one.version for one in store.versions("intent")] == [2]
    with pytest.raises(UnknownModel, match="intent has 2, production"):
        store.remove("intent", 1)


def test_a_removed_number_is_not_used_again(store: Store) -> None:
    for _ in range(2):
        store.publish("intent", build_version)
    store.remove("intent", 2)
    assert store.publish("intent", build_version).version == 3
    store.remove("intent", 1)
    store.remove("intent", 3)
    assert store.names() == []
    assert store.publish("intent", build_version).version == 4


# --- what is broken


def change_manifest(**fields: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "manifest.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | fields))

    return change


def change_artifact(**fields: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "manifest.json"
        manifest = json.loads(path.read_text())
        manifest["artifacts"][0] |= fields
        path.write_text(json.dumps(manifest))

    return change


def link_outside(folder: Path) -> None:
    outside = folder.parent.parent.parent / "outside.json"
    (folder / "config.json").replace(outside)
    (folder / "config.json").symlink_to(outside)


BREAKAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no manifest": (lambda f: (f / "manifest.json").unlink(), r"manifest\.json is missing"),
    "bad json": (lambda f: (f / "manifest.json").write_text("{"), "is not valid JSON"),
    "not text": (lambda f: (f / "manifest.json").write_bytes(b"\xff\xfe{"), "is not valid JSON"),
    "not an object": (lambda f: (f / "manifest.json").write_text("[]"), "JSON object"),
    "newer schema": (change_manifest(schema_version=2), "schema version 2 .* reads 1"),
    "unknown task": (change_manifest(task="mind-reading"), "task: .*'text-classification'"),
    "unknown key": (change_manifest(color="red"), "color: Extra inputs"),
    "no artifact": (change_manifest(artifacts=[]), "names no artifact"),
    "missing file": (lambda f: (f / "model.safetensors").unlink(), r"safetensors is missing"),
    "missing other": (lambda f: (f / "tokenizer.json").unlink(), r"tokenizer\.json is missing"),
    "escape": (change_artifact(path="../1/model.safetensors"), "not a relative path inside"),
    "absolute": (change_artifact(path="/etc/hostname"), "not a relative path inside"),
    "files escape": (change_manifest(files={"../x": "0"}), "not a relative path inside"),
    "link": (link_outside, r"config\.json is a link that leaves its folder"),
}


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_a_broken_version_is_named_and_hides_no_other(store: Store, breakage: str) -> None:
    store.publish("intent", build_version)
    store.publish("intent", build_version)
    store.publish("other", build_version)
    do, sentence = BREAKAGES[breakage]
    do(store.root / "intent" / "2")
    good, broken = store.scan()
    assert [one.id for one in good] == ["intent@1", "other@1"]
    [(name, error)] = broken
    assert name == "intent@2"
    with pytest.raises(CheckpointError, match=sentence) as caught:
        store.resolve("intent@2")
    assert str(caught.value) == str(error)
    assert "\n" not in str(error)
    with pytest.raises(CheckpointError):
        store.resolve("intent")
    assert store.resolve("intent@1").version == 1


@pytest.mark.parametrize(
    "name", ["model.safetensors", "onnx/model.onnx", "config.json", "tokenizer.json"]
)
def test_a_wrong_hash_is_refused_and_names_the_file(store: Store, name: str) -> None:
    version = store.publish("intent", build_version)
    path = version.folder / name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=f"{name} is not the file that was published"):
        verify_hashes(version)


def test_a_file_that_is_gone_at_loading_is_named(store: Store) -> None:
    version = store.publish("intent", build_version)
    (version.folder / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"config\.json cannot be read"):
        verify_hashes(version)


def test_folders_that_are_no_models_are_left_alone(store: Store) -> None:
    store.publish("intent", build_version)
    for name in (".cache/exports/x", ".publishing/stale/1", "empty", "notes/old", "bad name/1"):
        (store.root / name).mkdir(parents=True)
    assert store.names() == ["intent"]


def test_a_plain_folder_in_the_store_is_served_as_it_is(store: Store) -> None:
    plain_folder(store.root / "mine")
    version = store.resolve("mine")
    assert (version.id, version.plain) == ("mine@1", True)
    assert store.resolve("mine@1") == version
    assert version.manifest.labels == ["no", "yes"]
    assert version.cache_folder is not None
    assert version.cache_folder.is_relative_to(store.cache_root)
    with pytest.raises(UnknownModel, match="only version is mine@1"):
        store.resolve("mine@2")
    with pytest.raises(UnknownModel):
        store.set_alias("mine", "production", 1)
    assert [one.id for one in store.scan()[0]] == ["mine@1"]
