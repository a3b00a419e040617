"""The fleet's secrets: made once, closed, and certificates that each other accept."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509

from depot.secrets import fleet_secrets


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
