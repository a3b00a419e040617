"""The closed list of what can be wrong with a fleet, and how it is said.

Every problem is one line: where it is written, which Mac, which setting, what is wrong, what to do.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class Code(Enum):
    """One kind of problem: its sentence. `{given}` is the value found, `{other}` what it clashes with."""

    # The files
    FILE_MISSING = "there is no file {given}."
    FILE_SYNTAX = "Python cannot read this file: {given}."
    FILE_BROKEN = "running this file fails: {given}."
    # Who is in the fleet
    NO_HEAD = "the fleet has no head."
    TWO_HEADS = "the fleet has more than one head: {given}."
    ENTRY_INVALID = "{given} is not a Mac."
    CONNECTOR_UNKNOWN = "{given} does not say how the Mac is reached."
    NAME_INVALID = "{given} is not a valid host name."
    NAME_TWICE = "{given} is in the inventory twice."
    ROLE_MISSING = "{given} is neither head nor worker."
    # Addresses
    NODE_IP_MISSING = "the Mac has no node IP."
    NODE_IP_INVALID = "{given} is not an IPv4 address that a Mac can have."
    NODE_IP_TWICE = "{given} is also an address of {other}."
    LOOPBACK_MIXED = "{given} is loopback, which no other Mac can reach."
    INTERFACE_INVALID = "{given} is not a network interface of a Mac."
    INTERFACE_TWICE = "{given} is named twice."
    # Settings
    SETTING_UNKNOWN = "there is no setting {given}."
    SETTING_TYPE = "{given} is not {other}."
    SETTING_RANGE = "{given} is outside {other}."
    SETTING_PLACE = "this belongs to one Mac and cannot be given to all."
    SETTING_DIFFERS = "{given} here, but {other}."
    FILE_LACKING = "there is no file {given}."
    FILE_UNFIT = "{given} cannot be used: {other}."
    SETTING_OPTION = "{given} was given with --data, where it would not be checked."
    NETWORK_INVALID = "{given} is neither an address nor a network."
    # Ports
    PORT_RANGE = "port {given} is outside {other}."
    PORT_TWICE = "port {given} is also {other}."
    PORT_ORDER = "the range of worker ports ends at {other}, before it starts at {given}."
    # Ray's temp dir
    TEMP_DIR_LONG = "{given} is {other} bytes long; sockets below it leave room for 33."
    TEMP_DIR_RELATIVE = "{given} is not a full path."
    # Models
    MODELS_TOO_MANY = "{given} models are asked for, and Ray can tell {other} apart."
    MODEL_INCOMPLETE = "model {given} has no {other}."
    MODEL_ID_INVALID = "{given} is not a model id."
    MODEL_TWICE = "there are two models with the id {given}."
    MODEL_NAME_TAKEN = "{given} is also {other}."
    MODEL_ALIKE = "Serve cannot tell {given} from {other}."
    MAC_UNKNOWN = "there is no {other} {given} in this inventory."
    MACS_NONE = "{given} names no Mac."
    ENGINE_UNKNOWN = "there is no engine {given}."
    ENGINE_ARGUMENT = "{given} is decided by raylab."
    ENGINE_ARGUMENT_UNKNOWN = "{other} has no argument {given}."
    ENGINE_REFUSES = "{given} has no {other}."
    REPLICAS_TOO_MANY = "{given} are asked for, and there {other}."
    REPLICAS_ORDER = "at least {given} replicas are asked for, and at most {other}."
    ADAPTER_UNFIT = "{given} has {other}, which vllm does not serve."
    LLM_CONFIG_KEY = "Ray's LLMConfig has no key {given}."
    LLM_CONFIG_BESIDE = "{given} cannot stand beside llm_config, which says everything."
    SOURCE_INVALID = "{given} does not say where the model's files are."
    SOURCE_MAC = "there is no Mac {given} in this inventory."
    SOURCE_MISSING = "there is no folder {given}."
    SOURCE_INCOMPLETE = "{given} holds no {other}."
    REVISION_MISSING = "{given} has no revision, and its files may change any day."
    REVISION_INVALID = "{given} is no commit of {other}, which has 40 hex digits and never changes."
    REVISION_UNUSED = "the folder {given} has no revisions."
    CONTEXT_TOO_LONG = "a context of {given} tokens; the model was made for {other}."
    MODEL_TOO_BIG = "model {given} fits no Mac: {other}."
    MODEL_FITS_TOO_FEW = "{given} replicas are asked for, and the model fits {other}."
    # The user's own applications, and who may ask
    APPLICATION_INCOMPLETE = "application {given} has no {other}."
    APPLICATION_TWICE = "there are two applications called {given}."
    APPLICATION_OURS = "{given} is what one of raylab's own applications is called."
    ROUTE_INVALID = "{given} is not the path of an application."
    ROUTE_TAKEN = "{given} is a path of {other}."
    IMPORT_PATH_INVALID = "{given} does not say where the application is."
    ORIGIN_INVALID = "{given} is not the origin of a web page."
    KEYS_NONE = "without an API key nobody can ask."
    KEY_NAME_INVALID = "{given} cannot be the name of an API key."
    KEY_NAME_TWICE = "{given} is named twice."
    DOOR_NAME_INVALID = "{given} is neither a host name nor an address."
    # Releases
    LOCK_MISSING = "there is no {given}."
    LOCK_INVALID = "{given} is not a locked artifact: {other}."
    LOCK_PIN_MISSING = "{given} pins no {other}."
    LOCK_UNFIT = "{given} must not be installed: {other}."
    PIN_DIFFERS = "{given} here, but {other}."
    # Secrets
    SECRET_OPEN = "{given} can be read by others (mode {other})."
    SECRET_UNREADABLE = "{given} cannot be read: {other}."
    KEY_MISSING = "there is no SSH key {given}."
    # Leaving the fleet
    LEAVE_ALL = "this would remove every Mac of the fleet."
    LEAVE_HEAD = "{given} is the head, and {other} would stay without one."
    MODEL_HOMELESS = "model {given} may run on {other} only."
    # Preflight: what only the Mac itself can tell
    NODE_IP_ELSEWHERE = "{given} is no address of this Mac, which has {other}."
    LINK_AWAY = "{given} is no address of this Mac at this moment; it has {other}."
    MACOS_OLD = "this Mac runs macOS {given}, and the release needs {other}."
    CHIP_WRONG = "this machine is {given}, not an Apple-silicon Mac."
    MEMORY_DIFFERS = "the inventory says {given}, the Mac has {other}."
    DISK_FULL = "{given} are free on the disk, {other} are needed."
    CLOCK_SKEW = "the clock is {given} s away from the other Macs'."
    FILEVAULT_ON = "FileVault is on: after a power cut this Mac waits for a password and serves nothing."
    FIREWALL_ON = "the Application Firewall is on and may keep the other Macs out."
    SSH_CLOSED = "SSH reaches this Mac by port {given}, which the firewall would close."
    PF_BYPASSED = "pf's main rules do not lead to {given}: strangers would reach every port."
    AUTORESTART_MISSING = "this Mac cannot switch itself on after a power cut."
    THUNDERBOLT_UNKNOWN = "{given} is no Thunderbolt port of this Mac, which has {other}."
    THUNDERBOLT_TAKEN = "{given} carries {other}, by which this Mac is reached."
    LINK_RANGE = "{given} is in {other}, which raylab gives to Thunderbolt cables."
    CABLE_MISSING = "no Thunderbolt cable between {given}; {other}."
    CABLE_LOOP = "the Thunderbolt Bridges of {given} form a loop, which macOS does not break."


# What a person should know, but what does not stop a run.
WARNINGS = frozenset(
    {
        Code.LINK_AWAY,
        Code.CLOCK_SKEW,
        Code.FILEVAULT_ON,
        Code.FIREWALL_ON,
        Code.PF_BYPASSED,
        Code.AUTORESTART_MISSING,
        Code.CABLE_MISSING,
        Code.CABLE_LOOP,
    }
)
# An inventory or group_data file that cannot be run.
UNREADABLE = frozenset({Code.FILE_MISSING, Code.FILE_SYNTAX, Code.FILE_BROKEN})


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, told so that a person can mend it without reading our code."""

    code: Code
    file: str
    """Where it is written, with the line where it is known: `inventory/lab.py:7`. May be empty."""
    mac: str
    """The name of the Mac that is concerned, or empty when the whole fleet is."""
    field: str
    """The setting, as it is written: `node_ip`, `models[0].engine`. May be empty."""
    given: str
    """The value that was found, as text."""
    fix: str
    """What to do, as one sentence."""
    other: str = ""
    """What the value clashes with: another Mac, the allowed range, the limit."""

    @property
    def severity(self) -> str:
        """`error` stops a run, `warning` does not."""
        return "warning" if self.code in WARNINGS else "error"

    def line(self) -> str:
        """The problem as one line: `inventory/lab.py:7: beta: node_ip: … What to do.`"""
        sentence = self.code.value.format(given=self.given, other=self.other)
        where = "".join(f"{part}: " for part in (self.file, self.mac, self.field) if part)
        return " ".join(f"{where}{sentence} {self.fix}".split())


class SettingsError(Exception):
    """Raised with everything that is wrong, not with the first thing."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problem.line() for problem in self.problems))


def report(problems: Iterable[Problem]) -> str:
    """What a person reads when a run is refused: a count, then one line a problem."""
    lines = [problem.line() for problem in problems]
    count = f"{len(lines)} problem{'s' if len(lines) != 1 else ''}"
    return "\n".join([f"raylab: {count} in the settings. No Mac was touched.", "", *lines, ""])
