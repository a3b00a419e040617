"""A model's folder on a Mac: looked at and fetched once, by SFTP from a real sshd on loopback."""

from __future__ import annotations

import getpass
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import gevent
import pytest
from bsd_shell import BsdShell
from pyinfra.api.config import Config
from pyinfra.api.connect import connect_all
from pyinfra.api.inventory import Inventory
from pyinfra.api.state import State, StateStage
from pyinfra.context import ctx_config, ctx_host, ctx_state
from sshd import Server, running

from depot.errors import DepotError
from depot.models import Gathered
from fleet.origin import MacFolder
from fleet.settings import Fleet, Model
from macos.facts.model import ModelFolder, Seen, Sums
from roles import context, sources

CONFIG = {"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 64, "max_position_embeddings": 1024}
WEIGHTS = bytes(range(256)) * 40_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("sshd")) as started:
        yield started


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What a person has on a Mac; partly linked, as in the cache of Hugging Face."""
    made = tmp_path / "mac" / "my models"
    (made / ".cache").mkdir(parents=True)
    (made / ".cache" / "left.json").write_text("{}")
    (made / "README.md").write_text("# Tiny")
    (made / "config.json").write_text(json.dumps(CONFIG, indent=2))
    (tmp_path / "blob").write_bytes(WEIGHTS)
    (made / "model.safetensors").symlink_to(tmp_path / "blob")
    return made


@pytest.fixture
def run(fleet: Fleet, folder: Path, tmp_path: Path) -> Iterator[Run]:
    yield Run(fleet, folder, tmp_path)
    sources._settled.clear()


class Run:
    """One run of pyinfra after the other, each over SSH to the one Mac, alpha."""

    def __init__(self, fleet: Fleet, folder: Path, home: Path) -> None:
        self.home = home
        self.depot = home / "depot"
        self.model = Model(id="tiny", source=MacFolder("alpha", str(folder)))
        self.fleet = replace(fleet, depot=self.depot, models=(self.model,))

    def __call__(self, server: Server | None, then: Callable[[], object]) -> object:
        """`then` as a part of a deploy; without a server the run reaches no Mac that has the folder."""
        sources._settled.clear()
        context.remember(self.fleet)
        (self.home / "known_hosts").touch()
        data = {
            "node_ip": "127.0.0.1",
            "ssh_port": server.port if server else 1,
            "ssh_user": getpass.getuser(),
            "ssh_key": str(server.key) if server else "",
            "ssh_known_hosts_file": str(self.home / "known_hosts"),
        }
        inventory = Inventory((["@mac/alpha"] if server else ["@fake/other"], data))
        state = State(inventory, Config(SUDO=True))
        state.current_stage = StateStage.Connect
        connect_all(state)
        state.current_stage = StateStage.Prepare
        try:
            with ctx_state.use(state), ctx_config.use(state.config), ctx_host.use(next(iter(inventory))):
                return then()
        finally:
            for mac in inventory:
                mac.disconnect()

    def known(self, server: Server | None) -> Model:
        """The model, as a plan sees it."""

        def look() -> Model:
            sources.settle()
            return context.the_fleet().models[0]

        found = self(server, look)
        assert isinstance(found, Model)
        return found

    def gathered(self, server: Server | None) -> Gathered:
        """Its files."""

        def fetch() -> Gathered:
            sources.settle()
            return sources.gathered(context.the_fleet().models[0])

        found = self(server, fetch)
        assert isinstance(found, Gathered)
        return found


def test_the_plan_knows_a_folder_before_anything_is_fetched(run: Run, server: Server, folder: Path) -> None:
    known = run.known(server)
    assert known.weights.files == (
        ("config.json", (folder / "config.json").stat().st_size),
        ("model.safetensors", len(WEIGHTS)),
    )
    assert known.weights.config == CONFIG
    assert known.weights.tensor_bytes == len(WEIGHTS)
    assert known.context == 1024
    assert not (run.depot / "objects").exists()
    assert run.known(server) == known


def test_the_files_come_once(
    run: Run,
    server: Server,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = run.gathered(server)
    assert {name: path.read_bytes() for name, path in found.files.items()} == {
        "config.json": (folder / "config.json").read_bytes(),
        "model.safetensors": WEIGHTS,
    }
    assert found.manifest.revision == run.known(server).weights.revision
    assert list((run.depot / "partial").iterdir()) == []
    told = capsys.readouterr().err.splitlines()
    assert told[0] == f"depot: alpha reads 10.2 MB in {folder} for their sha256"
    assert f"depot: {run.model.source}: 2 files, 10.2 MB in " in told[1]
    monkeypatch.setattr(Sums, "command", None)
    monkeypatch.setattr(sources, "_copy", None)
    assert run.gathered(server) == found
    assert run.gathered(None) == found, "the Mac is not in this run"
    folder.rename(folder.with_name("gone"))
    assert run.gathered(server) == found, "its owner took the folder away"
    assert capsys.readouterr().err == ""


def test_a_folder_that_changed_is_read_anew_and_only_what_is_new_comes(
    run: Run,
    server: Server,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = run.gathered(server)
    (folder / "config.json").write_text(json.dumps({**CONFIG, "max_position_embeddings": 2048}))
    capsys.readouterr()
    after = run.gathered(server)
    assert after.manifest.revision != before.manifest.revision
    assert after.manifest.config["max_position_embeddings"] == 2048
    assert after.files["model.safetensors"] == before.files["model.safetensors"]
    assert ": 1 file, " in capsys.readouterr().err


def test_a_file_that_is_not_what_was_hashed_gets_no_name(
    run: Run,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patched:
        wrong = {"config.json": "a" * 64, "model.safetensors": "b" * 64}
        patched.setattr(Sums, "process", lambda *_: wrong)
        with pytest.raises(DepotError, match=r"config\.json is not what alpha has read before\. Run it again\."):
            run.gathered(server)
    assert list(run.depot.glob("objects/*/*")) == []


def test_a_mac_that_the_run_leaves_out(run: Run) -> None:
    with pytest.raises(DepotError) as problem:
        run.known(None)
    assert str(problem.value) == (
        f"{run.model.source}: this run does not reach alpha, and the depot lacks it. "
        "Run it once with that Mac on, and without --limit."
    )


def test_a_folder_that_is_not_there(run: Run, server: Server, folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))
    with pytest.raises(DepotError, match=r"alpha has no such folder that its SSH user may enter\. Name another;"):
        run.known(server)


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("config.json", "{", "config.json is no JSON: "),
        ("config.json", "[]", "config.json is not a JSON object"),
        ("config.json", None, "no config.json in it"),
        ("model.safetensors", None, "no .safetensors in it"),
    ],
)
def test_a_folder_that_is_no_model(
    run: Run,
    server: Server,
    folder: Path,
    name: str,
    content: str | None,
    text: str,
) -> None:
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_text(content)
    with pytest.raises(DepotError) as problem:
        run.known(server)
    assert text in str(problem.value)


def test_what_failed_once_fails_for_every_mac_of_the_run(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parts of a deploy run side by side: the second must neither look again nor go on."""
    looks = []

    def look(_: object) -> None:
        looks.append(1)
        gevent.sleep(0)
        raise DepotError("no")

    monkeypatch.setattr(sources, "_on_macs", look)
    parts = [gevent.spawn(sources.settle) for _ in range(3)]
    gevent.joinall(parts)
    assert [str(part.exception) for part in parts] == ["no"] * 3
    assert len(looks) == 1


def test_macs_that_need_the_same_model_wait_for_one_fetch(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock of the depot is between processes: two parts of one run would wait for each other for ever."""
    inside: list[int] = []

    def fetch(*_: object) -> None:
        assert not inside
        inside.append(1)
        gevent.sleep(0)
        inside.pop()

    context.remember(run.fleet)
    monkeypatch.setattr(sources, "_bring", fetch)
    monkeypatch.setattr(sources, "gather", lambda model, _: model.id)
    parts = [gevent.spawn(sources.gathered, run.model) for _ in range(3)]
    gevent.joinall(parts)
    assert [part.value for part in parts] == ["tiny"] * 3


@pytest.fixture(params=["bash", "dash"])
def shell(request: pytest.FixtureRequest, tmp_path: Path) -> BsdShell:
    (tmp_path / "shell").mkdir()
    return BsdShell(request.param, tmp_path / "shell", ())


def test_the_look_of_a_folder(shell: BsdShell, folder: Path) -> None:
    seen = shell.fact(ModelFolder, folder=str(folder))
    assert [name for name, _ in seen.files] == ["README.md", "config.json", "model.safetensors"]
    assert json.loads(seen.config) == CONFIG
    assert shell.fact(ModelFolder, folder=str(folder)) == seen
    with (folder / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"x")
    changed = shell.fact(ModelFolder, folder=str(folder))
    assert changed.files == seen.files
    assert changed.revision != seen.revision


def test_an_adapters_own_config_is_read(shell: BsdShell, folder: Path) -> None:
    (folder / "config.json").rename(folder / "adapter_config.json")
    seen = shell.fact(ModelFolder, folder=str(folder))
    assert json.loads(seen.config) == CONFIG


def test_a_folder_with_nothing_in_it(shell: BsdShell, tmp_path: Path) -> None:
    done = shell.run(ModelFolder().command(folder=str(tmp_path / "shell" / "raylab")))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert ModelFolder.default() == Seen()


def test_a_file_that_may_not_be_read_is_told() -> None:
    lines = ["12 ./config.json", "? ./model.safetensors", f"{'a' * 64}  -", '{"a":', "1}"]
    seen = ModelFolder().process(lines)
    assert (seen.files, seen.closed, seen.config) == (
        (("config.json", 12),),
        ("model.safetensors",),
        '{"a":\n1}',
    )
