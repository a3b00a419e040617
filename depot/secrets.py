"""The fleet's secrets on the control machine: made once, kept 0600 in a 0700 folder, never printed.

The store speaks mutual TLS instead of using a password, because Ray would put a password on the command
line of its GCS, where `ps` shows it to everybody.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# A fleet's certificates outlive the hardware: nothing renews them behind the owner's back.
VALID_FOR = datetime.timedelta(days=3650)


@dataclass(frozen=True)
class Secrets:
    """Contents of the secret files, as text."""

    ray_token: str
    store_ca: str
    store_cert: str
    store_key: str


def fleet_secrets(folder: Path) -> Secrets:
    """Read the fleet's secrets, making those that do not exist yet.

    Raises OSError when the folder cannot be read or written.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    token = folder / "ray-token"
    if not token.exists():
        _write(token, secrets.token_hex(32))
    names = ("store-ca.pem", "store-cert.pem", "store-key.pem")
    if not all((folder / name).exists() for name in names):
        for name, text in zip(names, _store_certificates(), strict=True):
            _write(folder / name, text)
    return Secrets(token.read_text().strip(), *((folder / name).read_text() for name in names))


def _write(path: Path, text: str) -> None:
    """Write a file 0600 under a temporary name, then rename: a secret is never half there."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    Path(temporary).rename(path)


def _store_certificates() -> tuple[str, str, str]:
    """A private CA and one certificate that the store and its only client, the GCS, both use."""
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca = (
        _builder("raylab store CA", ca_key, ca_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    key = ec.generate_private_key(ec.SECP256R1())
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    leaf = (
        _builder("raylab store", key, ca_key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
            critical=False,
        )
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    key_text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return _pem(ca), _pem(leaf), key_text.decode()


def _builder(
    subject: str, key: ec.EllipticCurvePrivateKey, ca_key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "raylab store CA")]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # A Mac whose clock lags must not refuse its own store.
        .not_valid_before(now - datetime.timedelta(days=365))
        .not_valid_after(now + VALID_FOR)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
