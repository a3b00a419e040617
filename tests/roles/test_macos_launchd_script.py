"""scripts/launchd.sh for real, under bash and dash, against a launchctl that replays exit codes."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from macos.shell import script_command

# Loaded means that there is a file `pid`; an empty one is a job that does not run. `VERB.N` is what the Nth
# call of a verb does before the usual, or with `exit` instead of it; the highest N up to the call's counts.
LAUNCHCTL = """\
#!/bin/sh
cd "$FAKE" || exit 1
unknown() { echo 'Could not find service "x" in domain for system' >&2; exit 113; }
echo "$*" >>calls
number=$(($(cat "$1.count" 2>/dev/null || echo 0) + 1))
echo $number >"$1.count"
while [ $number -gt 0 ]; do
    [ ! -f "$1.$number" ] || { . "./$1.$number"; break; }
    number=$((number - 1))
done
case $1 in
bootout) [ -f pid ] || { echo "Boot-out failed: 3: No such process" >&2; exit 3; }; rm pid ;;
bootstrap) echo 100 >pid ;;
kickstart) [ -f pid ] || unknown; echo $(($(cat pid) + 1)) >pid ;;
print)
    [ -f pid ] || unknown
    printf 'system/x = {\\n\\tpath = /x\\n\\tstate = running\\n\\targuments = {\\n\\t\\tpid = 9\\n\\t}\\n'
    [ ! -s pid ] || printf '\\tpid = %s\\n' "$(cat pid)"
    printf '\\truns = %s\\n' "$(cat runs 2>/dev/null || echo 1)"
    printf '\\tlast exit code = %s\\n}\\n' "$(cat exit 2>/dev/null || echo '(never exited)')"
    ;;
esac
"""


class FakeMac:
    """A launchd whose state is a folder."""

    def __init__(self, shell: str, folder: Path) -> None:
        self.shell = shell
        self.folder = folder
        self.log = folder / "job.log"
        self.plist = folder / "x.plist"
        (folder / "bin").mkdir()
        for name, text in (("launchctl", LAUNCHCTL), ("chown", "#!/bin/sh\n")):
            path = folder / "bin" / name
            path.write_text(text)
            path.chmod(0o755)

    def on(self, verb: str, number: int, shell: str) -> None:
        """From its `number`th call on, `verb` runs `shell` first."""
        (self.folder / f"{verb}.{number}").write_text(shell + "\n")

    def running(self, pid: str = "100") -> None:
        (self.folder / "pid").write_text(pid)

    @property
    def pid(self) -> str | None:
        path = self.folder / "pid"
        return path.read_text().strip() if path.exists() else None

    def calls(self) -> list[str]:
        """All calls of launchctl but `print`."""
        lines = (self.folder / "calls").read_text().splitlines()
        return [line for line in lines if not line.startswith("print ")]

    def run(self, *calls: str, drain: int = 2, settle: int = 0, patience: int = 3) -> tuple[int, str]:
        variables: dict[str, str | int] = {
            "label": "x",
            "plist": str(self.plist),
            "drain": drain,
            "settle": settle,
            "patience": patience,
            "logs": str(self.log),
        }
        command = script_command(["files", "launchd"], [call.split(" ") for call in calls], [], variables)
        environment = {"PATH": f"{self.folder}/bin:/usr/bin:/bin", "FAKE": str(self.folder)}
        done = subprocess.run(
            [self.shell, "-s", "launchd"],
            input=str(command.connector_arguments["_stdin"]),
            env={**environment, "poll": "0.05", "retry_for": "2"},
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert done.stdout == ""
        return done.returncode, done.stderr


@pytest.fixture(params=["bash", "dash"])
def mac(request: pytest.FixtureRequest, tmp_path: Path) -> FakeMac:
    return FakeMac(request.param, tmp_path)


def test_installs_a_new_job(mac: FakeMac) -> None:
    assert mac.run(f"file {mac.plist} root wheel 0644 plist", "enable", "load", "stays_up") == (0, "")
    assert mac.plist.read_bytes() == b"plist"
    assert mac.calls() == ["enable system/x", f"bootstrap system {mac.plist}"]
    assert mac.pid == "100"


def test_reloads_a_job(mac: FakeMac) -> None:
    mac.running("7")
    assert mac.run("unload", "load", "stays_up") == (0, "")
    assert mac.calls() == ["bootout system/x", f"bootstrap system {mac.plist}"]


def test_the_drain_race_after_bootout(mac: FakeMac) -> None:
    """bootout says 36, `print` goes on answering for a while, then bootstrap says 5, 37, 5 and works."""
    mac.running()
    mac.on("bootout", 1, "echo 'Boot-out failed: 36: Operation now in progress' >&2; exit 36")
    mac.on("print", 5, "rm -f pid")
    mac.on("print", 6, ":")
    mac.on("bootstrap", 1, "echo 'Bootstrap failed: 5: Input/output error' >&2; exit 5")
    mac.on("bootstrap", 2, "exit 37")
    mac.on("bootstrap", 3, "exit 5")
    mac.on("bootstrap", 4, "echo 100 >pid; exit 0")
    mac.on("print", 7, "[ -f bootstrap.count ] || exit 113")
    assert mac.run("unload", "load", "stays_up") == (0, "")
    assert [call.split()[0] for call in mac.calls()] == ["bootout", *["bootstrap"] * 4]


@pytest.mark.parametrize("code", [0, 3, 36, 113])
def test_fine_answers_of_bootout(mac: FakeMac, code: int) -> None:
    mac.on("bootout", 1, f"exit {code}")
    assert mac.run("unload") == (0, "")


def test_a_job_that_does_not_stop_fails(mac: FakeMac) -> None:
    mac.running()
    mac.on("bootout", 1, "exit 0")
    code, said = mac.run("unload", "load", drain=1)
    assert code == 1
    assert "x: does not stop: 1 s after bootout" in said
    assert mac.calls() == ["bootout system/x"]


def test_a_bootout_that_blocks_is_given_up(mac: FakeMac) -> None:
    mac.running()
    mac.on("bootout", 1, "rm pid; exec sleep 20")
    began = time.monotonic()
    assert mac.run("unload", drain=1) == (0, "")
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("code", "hint"),
    [(5, "plutil -lint"), (37, "busy"), (109, "not valid"), (119, "launchctl enable"), (122, "root:wheel")],
)
def test_bootstrap_that_fails_says_what_to_do(mac: FakeMac, code: int, hint: str) -> None:
    mac.on("bootstrap", 1, f"echo 'Bootstrap failed: {code}' >&2; exit {code}")
    failed, said = mac.run("load", "stays_up")
    assert failed == 1
    assert f"launchctl bootstrap ended with {code}: Bootstrap failed: {code} (" in said
    assert hint in said
    assert (len(mac.calls()) > 1) == (code in (5, 37)), "only 5 and 37 are worth another try"


def test_a_job_that_sits_there_is_kicked(mac: FakeMac) -> None:
    mac.running("")
    mac.on("kickstart", 1, "echo 200 >pid; exit 0")
    assert mac.run("stays_up") == (0, "")
    assert mac.calls() == ["kickstart system/x"]


def test_a_stable_pid_is_one_that_stays_for_settle_seconds(mac: FakeMac) -> None:
    """Counted in whole seconds of the clock, so it may be up to one less."""
    mac.running()
    began = time.monotonic()
    assert mac.run("stays_up", settle=2) == (0, "")
    assert time.monotonic() - began >= 1


def test_one_death_is_forgiven(mac: FakeMac) -> None:
    mac.running()
    mac.on("print", 3, ": >pid")
    mac.on("print", 4, "echo 300 >pid")
    mac.on("print", 5, ":")
    assert mac.run("stays_up", settle=1) == (0, "")
    assert mac.pid == "300"


def test_a_job_that_dies_at_once_again_and_again_fails_with_the_end_of_its_log(mac: FakeMac) -> None:
    mac.running()
    mac.log.write_text("".join(f"line {number}\n" for number in range(40)))
    (mac.folder / "exit").write_text("78: EX_CONFIG")
    mac.on("print", 1, "cp print.count runs; : >pid")
    code, said = mac.run("stays_up", settle=1)
    assert code == 1
    assert "x: keeps dying" in said
    assert "\tlast exit code = 78: EX_CONFIG\n" in said
    assert "78: launchd could not start it" in said
    assert "    line 39\n" in said
    assert "    line 25\n" in said
    assert "line 24\n" not in said
    assert "pid = 9" not in said


def test_a_job_that_never_starts_fails(mac: FakeMac) -> None:
    mac.running("")
    mac.on("kickstart", 1, "exit 0")
    code, said = mac.run("stays_up", patience=1)
    assert code == 1
    assert "did not stay up" in said
    assert f"its log {mac.log} is empty or missing" in said


def test_restart_wants_another_pid(mac: FakeMac) -> None:
    mac.running("7")
    assert mac.run("restart", "stays_up") == (0, "")
    assert mac.calls() == ["kickstart -k system/x"]
    assert mac.pid == "8"


def test_restart_that_blocks_kills_the_wedged_job(mac: FakeMac) -> None:
    mac.running("7")
    mac.on("kickstart", 1, "exec sleep 20")
    mac.on("kill", 1, "echo 8 >pid")
    began = time.monotonic()
    assert mac.run("restart", "stays_up", drain=1) == (0, "")
    assert time.monotonic() - began < 6
    assert mac.calls() == ["kickstart -k system/x", "kill SIGKILL system/x"]


def test_restart_of_an_unknown_job_fails(mac: FakeMac) -> None:
    code, said = mac.run("restart", "stays_up")
    assert code == 1
    assert "launchd does not know it" in said


def test_a_job_that_runs_once(mac: FakeMac) -> None:
    mac.running("")
    (mac.folder / "exit").write_text("0")
    assert mac.run("finishes") == (0, "")
    (mac.folder / "exit").write_text("1")
    code, said = mac.run("finishes")
    assert (code, "ended with 1" in said) == (1, True)


def test_a_job_that_runs_once_and_takes_long_is_well(mac: FakeMac) -> None:
    mac.running("7")
    assert mac.run("finishes", patience=1) == (0, "")


def test_start_needs_a_plist_and_enables_before_it_loads(mac: FakeMac) -> None:
    code, said = mac.run("start", "stays_up")
    assert (code, "run the deploy that installs it" in said) == (1, True)
    mac.plist.write_text("")
    assert mac.run("start", "stays_up") == (0, "")
    assert mac.calls() == ["enable system/x", f"bootstrap system {mac.plist}"]


def test_remove_and_stop(mac: FakeMac) -> None:
    mac.running()
    mac.plist.write_text("")
    assert mac.run("disable", "unload") == (0, "")
    assert mac.calls() == ["disable system/x", "bootout system/x"]
    assert mac.run("unload", "remove") == (0, "")
    assert not mac.plist.exists()
