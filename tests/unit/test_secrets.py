"""The fleet's secrets: made once, closed, and certificates that each other accept."""

from __future__ import annotations

import base64
from datetime import timedelta
from pathlib import Path

import bcrypt
import pytest
from cryptography import x509

from depot import certificates
from depot.keys import key_hashes, key_path
from depot.secrets import door_files, fleet_secrets


def test_secrets_are_made_once_and_closed(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    made = fleet_secrets(folder)
    assert fleet_secrets(folder) == made
    assert len(made.ray_token) == 64
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_two_fleets_have_different_secrets(tmp_path: Path) -> None:
    one, other = fleet_secrets(tmp_path / "one"), fleet_secrets(tmp_path / "other")
    assert one.ray_token != other.ray_token
    assert one.store_key != other.store_key


def test_the_store_s_certificate_is_signed_by_its_ca(tmp_path: Path) -> None:
    made = fleet_secrets(tmp_path)
    ca = x509.load_pem_x509_certificate(made.store_ca.encode())
    leaf = x509.load_pem_x509_certificate(made.store_cert.encode())
    leaf.verify_directly_issued_by(ca)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]


def test_a_lost_part_of_the_certificates_makes_all_of_them_anew(tmp_path: Path) -> None:
    made = fleet_secrets(tmp_path)
    (tmp_path / "store-cert.pem").unlink()
    again = fleet_secrets(tmp_path)
    assert again.ray_token == made.ray_token
    assert again.store_ca != made.store_ca
    leaf = x509.load_pem_x509_certificate(again.store_cert.encode())
    leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(again.store_ca.encode()))


NAMES = ["192.168.1.20", "studio-1", "studio-1.local"]


def alternatives(cert: str) -> list[str]:
    found = x509.load_pem_x509_certificate(cert.encode()).extensions
    return [str(each.value) for each in found.get_extension_for_class(x509.SubjectAlternativeName).value]


def test_a_door_s_certificate_stays_until_its_names_change(tmp_path: Path) -> None:
    made = door_files(tmp_path, "home", "studio-1", NAMES)
    assert alternatives(made.cert) == NAMES
    assert door_files(tmp_path, "home", "studio-1", NAMES) == made
    ca = (tmp_path / "door-ca.pem").read_text()
    further = door_files(tmp_path, "home", "studio-1", [*NAMES, "llm.example.org"])
    assert alternatives(further.cert) == [*NAMES, "llm.example.org"]
    assert (tmp_path / "door-ca.pem").read_text() == ca
    other = door_files(tmp_path, "home", "@local", NAMES)
    assert other.key != further.key
    closed = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.stat().st_mode & 0o777 for path in closed} == {0o600}


def test_a_door_s_certificate_is_made_again_before_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "DOOR_VALID_FOR", certificates.DOOR_RENEWED - timedelta(days=1))
    old = door_files(tmp_path, "home", "studio-1", NAMES)
    monkeypatch.undo()
    new = door_files(tmp_path, "home", "studio-1", NAMES)
    assert new.cert != old.cert
    assert door_files(tmp_path, "home", "studio-1", NAMES) == new


def test_another_ca_signs_every_door_s_certificate_anew(tmp_path: Path) -> None:
    old = door_files(tmp_path, "home", "studio-1", NAMES)
    (tmp_path / "door-ca.pem").unlink()
    new = door_files(tmp_path, "home", "studio-1", NAMES)
    ca = x509.load_pem_x509_certificate((tmp_path / "door-ca.pem").read_bytes())
    x509.load_pem_x509_certificate(new.cert.encode()).verify_directly_issued_by(ca)
    assert new.cert != old.cert


def test_a_key_is_made_once_and_hashed_alike_every_time(tmp_path: Path) -> None:
    [made] = key_hashes(tmp_path, ["chat"])
    key = key_path(tmp_path, "chat").read_text()
    name, _, secret = base64.b64decode(key).decode().partition(":")
    assert (name, key.startswith(made.prefix), key.isalnum()) == ("chat", True, True)
    assert bcrypt.checkpw(secret.encode(), made.hash.encode())
    assert key_hashes(tmp_path, ["chat", "laptop"])[0] == made
    assert secret not in repr(made)
    assert made.hash not in repr(made)


def test_a_file_that_is_no_key_of_its_name(tmp_path: Path) -> None:
    key_hashes(tmp_path, ["chat"])
    key_path(tmp_path, "other").write_text(key_path(tmp_path, "chat").read_text())
    with pytest.raises(ValueError, match="other holds no key of this name"):
        key_hashes(tmp_path, ["other"])
