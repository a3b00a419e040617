"""Private certificates: CAs of our own, and what they sign for the store and for the doors."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# The store's certificates outlive the hardware: nothing renews them behind the owner's back.
VALID_FOR = datetime.timedelta(days=3650)
# A Mac whose clock lags must not refuse its own fleet.
BACKDATED = datetime.timedelta(days=365)
# Apple's systems refuse a server's certificate that is valid for more than 825 days, from its first day on.
DOOR_VALID_FOR, DOOR_BACKDATED = datetime.timedelta(days=790), datetime.timedelta(days=30)
# A converge within the last half year of a door's certificate makes another one.
DOOR_RENEWED = datetime.timedelta(days=182)


@dataclass(frozen=True)
class Pair:
    """A certificate with its key and the CA that signed it, as PEM text."""

    ca: str
    cert: str
    key: str = field(repr=False)


@dataclass(frozen=True)
class Authority:
    """A CA with its key, as PEM text."""

    ca: str
    key: str = field(repr=False)


def certificate_pair(title: str, addresses: Sequence[str]) -> Pair:
    """A CA that signs this one certificate and is then forgotten; server and client both use it.

    `title` names it in error messages; `addresses` are the IP addresses it is valid for, beside localhost.
    """
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca = _signed_ca(title, ca_key)
    key = ec.generate_private_key(ec.SECP256R1())
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = _builder(title, f"{title} CA", key, ca_key)
    cert = _for_hosts(builder, ["localhost", *addresses], usages).sign(ca_key, hashes.SHA256())
    return Pair(_pem(ca), _pem(cert), _key_text(key))


def new_authority(title: str) -> Authority:
    """A CA for clients to trust, valid for ten years."""
    key = ec.generate_private_key(ec.SECP256R1())
    return Authority(_pem(_signed_ca(title, key)), _key_text(key))


def leaf(authority: Authority, names: Sequence[str]) -> Pair:
    """A server's certificate for these host names and addresses; the first one names it."""
    ca = x509.load_pem_x509_certificate(authority.ca.encode())
    ca_key = serialization.load_pem_private_key(authority.key.encode(), None)
    assert isinstance(ca_key, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = str(ca.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
    builder = _builder(names[0], issuer, key, ca_key, DOOR_VALID_FOR, DOOR_BACKDATED)
    cert = _for_hosts(builder, names, [ExtendedKeyUsageOID.SERVER_AUTH]).sign(ca_key, hashes.SHA256())
    return Pair(authority.ca, _pem(cert), _key_text(key))


def is_current(cert: str, authority: Authority, names: Sequence[str]) -> bool:
    """Whether this CA signed it for exactly these names, and it lasts for some time yet."""
    try:
        found = x509.load_pem_x509_certificate(cert.encode())
        found.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.ca.encode()))
        alternatives = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, InvalidSignature, x509.ExtensionNotFound):
        return False
    left = found.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    return left > DOOR_RENEWED and list(alternatives) == _alternatives(names)


def _signed_ca(title: str, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    return (
        _builder(f"{title} CA", f"{title} CA", key, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )


def _for_hosts(
    builder: x509.CertificateBuilder, names: Sequence[str], usages: Sequence[x509.ObjectIdentifier]
) -> x509.CertificateBuilder:
    return (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectAlternativeName(_alternatives(names)), critical=False)
    )


def _alternatives(names: Sequence[str]) -> list[x509.GeneralName]:
    return [_alternative(name) for name in names]


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _builder(
    subject: str,
    issuer: str,
    key: ec.EllipticCurvePrivateKey,
    ca_key: ec.EllipticCurvePrivateKey,
    valid_for: datetime.timedelta = VALID_FOR,
    backdated: datetime.timedelta = BACKDATED,
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - backdated)
        .not_valid_after(now + valid_for)
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


def _key_text(key: ec.EllipticCurvePrivateKey) -> str:
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return text.decode()
