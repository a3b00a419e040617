"""The Ray wrapper: which processes it ends, what it waits for."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import psutil
import pytest
from free_ports import free_port

LIBEXEC = Path(__file__).resolve().parents[2] / "templates" / "libexec"


def load(name: str) -> ModuleType:
    """A wrapper as a module: they are no package, since on a Mac each stands alone."""
    spec = importlib.util.spec_from_file_location(name, LIBEXEC / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


wrapper = load("raylab_ray")
USER, OTHER, ME = 250, 501, 900
ENV = "/opt/raylab/releases/0123456789ab/env"
PYTHON = f"{ENV}/bin/python3.11"


def seen(pid: int, command: str, parent: int = 1, user: int = USER, executable: str = "") -> object:
    return wrapper.Seen(pid, parent, user, executable, tuple(command.split(" ")))


def ended(*processes: object) -> list[int]:
    """The pids that the wrapper would end, with the wrapper and other jobs of the account running."""
    standing = [
        seen(ME, f"{ENV}/bin/python -I /opt/raylab/libexec/raylab_ray.py --head", executable=PYTHON),
        seen(901, "/opt/raylab/libexec/raylab-ray", executable="/bin/sh"),
        seen(20, f"{ENV}/bin/valkey-server 127.0.0.1:6380", executable=f"{ENV}/bin/valkey-server"),
        seen(21, f"{ENV}/bin/python -I /opt/raylab/libexec/raylab_serve.py /opt/raylab/etc/serve.yaml"),
    ]
    return [process.pid for process in wrapper.leftovers([*standing, *processes], ME, USER)]


@pytest.mark.parametrize(
    "command",
    [
        "VLLM::EngineCore",
        "VLLM::Worker",
        "ray::ServeReplica:llm:LLMServer:tiny",
        "ray::IDLE",
        "ray-dashboard-ServeHead-0 (python)",
        f"{ENV}/lib/python3.11/site-packages/ray/core/src/ray/raylet/raylet --node_manager_port=1",
        f"{ENV}/lib/python3.11/site-packages/ray/core/src/ray/gcs/gcs_server --gcs_server_port=1",
        f"{ENV}/bin/python -m ray.scripts.scripts start --head --block",
        f"{ENV}/bin/python -u {ENV}/lib/python3.11/site-packages/ray/_private/log_monitor.py",
        f"{ENV}/bin/python -m ray.util.client.server --port=10001",
    ],
)
def test_parts_of_an_earlier_node_are_leftovers(command: str) -> None:
    assert ended(seen(40, command)) == [40]


def test_what_runs_from_any_release_is_a_leftover_whatever_it_calls_itself() -> None:
    older = "/opt/raylab/releases/ba9876543210/env/bin/python3.11"
    assert ended(seen(40, "resource_tracker", executable=older)) == [40]


def test_children_of_leftovers_go_with_them() -> None:
    assert ended(seen(40, "VLLM::Worker"), seen(41, "/usr/bin/cc x.c", 40), seen(42, "/usr/bin/as", 41)) == [
        40,
        41,
        42,
    ]


def test_other_jobs_of_the_account_and_what_they_started_stay() -> None:
    assert ended(
        seen(40, f"{ENV}/bin/valkey-server", 20, executable=f"{ENV}/bin/valkey-server"),
        seen(41, f"{ENV}/bin/python -c pass", 21, executable=PYTHON),
        seen(42, f"{ENV}/bin/python -I /opt/raylab/libexec/raylab_report.py --head", executable=PYTHON),
    ) == []  # fmt: skip


def test_the_wrapper_its_parents_and_its_children_stay() -> None:
    shell = seen(50, "/bin/sh -c ray::", executable="/bin/sh")
    me = seen(ME, f"{ENV}/bin/python -I /opt/raylab/libexec/raylab_ray.py", 50, executable=PYTHON)
    child = seen(51, f"{ENV}/bin/python -c pass", ME, executable=PYTHON)
    assert wrapper.leftovers([shell, me, child], ME, USER) == []


OTHER_TEMP = "/opt/raylab/ray/tmp2"
ANOTHER = f"{ENV}/bin/python -I /opt/raylab/next/libexec/raylab_ray.py --head"


def beside(*processes: object) -> list[int]:
    """The pids that the wrapper would end, with the wrapper of another cluster's node running."""
    me = seen(ME, f"{ENV}/bin/python -I /opt/raylab/libexec/raylab_ray.py", executable=PYTHON)
    other = wrapper.Seen(70, 1, USER, PYTHON, tuple(ANOTHER.split(" ")), OTHER_TEMP)
    return [each.pid for each in wrapper.leftovers([me, other, *processes], ME, USER, "/opt/raylab/ray/tmp")]


def orphan(pid: int, temp: str) -> object:
    return wrapper.Seen(pid, 1, USER, PYTHON, ("VLLM::EngineCore",), temp)


def test_the_node_of_another_cluster_is_left_alone_with_its_orphans() -> None:
    child = seen(71, "ray::ServeController", 70)
    assert beside(child, orphan(72, OTHER_TEMP), seen(73, "/usr/bin/cc x.c", 72)) == []


def test_of_two_clusters_the_leftovers_of_its_own_go_and_those_that_nothing_tells_of() -> None:
    assert beside(orphan(72, "/opt/raylab/ray/tmp"), orphan(73, ""), orphan(74, OTHER_TEMP)) == [72, 73]


def test_what_a_cluster_has_left_that_has_no_node_here_any_more_goes() -> None:
    assert ended(orphan(72, OTHER_TEMP)) == [72]


def test_the_folder_of_a_node_is_told_by_the_environment_or_the_command() -> None:
    raylet = [RAYLET, f"--raylet_socket_name={OTHER_TEMP}/session_2026-01-01_00-00-00_1_1/sockets/raylet"]
    with subprocess.Popen(["/bin/sleep", "60"], env={"RAYLAB_RAY_TEMP": OTHER_TEMP}) as process:
        assert wrapper._temp(psutil.Process(process.pid), ()) == OTHER_TEMP
        process.kill()
    assert wrapper._temp(psutil.Process(), raylet) == OTHER_TEMP
    assert wrapper._temp(psutil.Process(), ["ray::IDLE"]) == ""


def test_strangers_stay() -> None:
    assert ended(
        seen(40, "ray::IDLE", user=OTHER), seen(41, "/usr/bin/login"), seen(42, "/bin/zsh -c ray")
    ) == []  # fmt: skip


def test_a_loop_in_the_table_ends() -> None:
    """A pid can be reused while the table is read."""
    assert ended(seen(40, "ray::IDLE", 41), seen(41, "sh", 40)) == [40, 41]


def test_the_title_in_the_log_is_short() -> None:
    assert wrapper.Seen(1, 1, USER, "", ("VLLM::Worker" + " " * 200,)).title == "VLLM::Worker"


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        (["--head", "--node-ip-address=10.0.0.1"], "10.0.0.1"),
        (["--node-ip-address", "10.0.0.1"], "10.0.0.1"),
        (["--node-ip-address"], None),
        (["--node-ip-addresses=1"], None),
    ],
)
def test_option(arguments: list[str], value: str | None) -> None:
    assert wrapper.option(arguments, "--node-ip-address") == value


def test_split_address() -> None:
    assert wrapper.split_address("rediss://127.0.0.1:6380") == ("127.0.0.1", 6380)
    assert wrapper.split_address("10.0.0.1:6379") == ("10.0.0.1", 6379)
    with pytest.raises(ValueError, match="HOST:PORT"):
        wrapper.split_address("10.0.0.1")


def test_an_address_of_this_machine_is_accepted_and_another_is_not() -> None:
    assert wrapper.address_objection("127.0.0.1") == ""
    # From the range kept for documentation: nobody has it.
    assert "no interface has 192.0.2.1" in wrapper.address_objection("192.0.2.1")


def test_a_port_is_accepted_when_somebody_listens() -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        assert wrapper.port_objection("127.0.0.1", port) == ""
    assert f"127.0.0.1:{port}" in wrapper.port_objection("127.0.0.1", port)


def test_waiting_says_why_and_ends(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(0, 1000, 4))
    monkeypatch.setattr(wrapper.time, "monotonic", lambda: next(now))
    monkeypatch.setattr(wrapper.time, "sleep", lambda _seconds: None)
    answers = iter(["no cable", "no cable", "no cable", "no address", ""])
    wrapper.wait_until(lambda: next(answers), "the node IP")
    lines = [line.partition("raylab-ray: ")[2] for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "waiting for the node IP: no cable"
    assert lines[1].startswith("still waiting for the node IP, ")
    assert lines[-1].startswith("the node IP after ")


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder whose path leaves room for a socket; pytest's own are too long."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


def test_stale_sockets_go_and_nothing_else(short_path: Path) -> None:
    folder = short_path / "session_2026-01-01_00-00-00_1_1" / "sockets"
    folder.mkdir(parents=True)
    (folder / "note").write_text("stays")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "raylet.3"))
    assert wrapper.remove_stale_sockets(short_path) == 1
    assert [path.name for path in folder.iterdir()] == ["note"]


def test_without_a_node_ip_it_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    assert wrapper.main(["--head"], {}) == 2
    assert "--node-ip-address" in capsys.readouterr().out


RAYLET = f"{ENV}/lib/python3.11/site-packages/ray/core/src/ray/raylet/raylet"
ARGUMENTS = ["--head", "--dashboard-agent-listen-port=6385"]


def test_the_raylet_is_told_the_agents_port() -> None:
    assert wrapper.with_agent_port([RAYLET, "--x=1"], ARGUMENTS) == [
        RAYLET,
        "--x=1",
        "--dashboard_agent_listen_port=6385",
    ]


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ([RAYLET.replace("raylet", "gcs"), "--x=1"], ARGUMENTS),
        ([RAYLET, "--x=1"], ["--head"]),
        ([RAYLET, "--dashboard_agent_listen_port=1"], ARGUMENTS),
        ([], ARGUMENTS),
    ],
)
def test_other_command_lines_stay_as_they_are(command: list[str], arguments: list[str]) -> None:
    assert wrapper.with_agent_port(command, arguments) == command
