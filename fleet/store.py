"""The store's configuration: valkey on the head, for Ray's cluster state alone."""

from __future__ import annotations

from fleet import layout
from fleet.settings import Fleet


def store_config(fleet: Fleet) -> str:
    """store.conf. Loopback only, and only for clients with our certificate; every write goes to disk."""
    settings = [
        ("bind", "127.0.0.1"),
        ("port", "0"),
        ("tls-port", str(fleet.ports.store)),
        ("tls-cert-file", layout.STORE_CERT),
        ("tls-key-file", layout.STORE_KEY),
        ("tls-ca-cert-file", layout.STORE_CA),
        ("tls-auth-clients", "yes"),
        ("tls-protocols", '"TLSv1.2 TLSv1.3"'),
        ("dir", fleet.store_dir),
        ("appendonly", "yes"),
        ("appendfsync", "everysec"),
        ("auto-aof-rewrite-min-size", "16mb"),
        ("save", '""'),
        ("daemonize", "no"),
        ("protected-mode", "yes"),
        ("maxmemory-policy", "noeviction"),
    ]
    return "".join(f"{name} {value}\n" for name, value in settings)
