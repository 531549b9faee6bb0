"""One certificate authority for a cluster: serving and client certificates, kubeconfigs, the service account key."""

import base64
import datetime
import ipaddress
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from local_cluster import files

LIFETIME = datetime.timedelta(days=3650)


class Authority:
    """A certificate authority in a folder (`ca.crt`, `ca.key`), made there when it is missing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.certificate = folder / "ca.crt"
        self.key = folder / "ca.key"
        if self.certificate.exists() and self.key.exists():
            self._key = private_key(self.key)
            self._subject = x509.load_pem_x509_certificate(self.certificate.read_bytes()).subject
        else:
            self._key = ec.generate_private_key(ec.SECP256R1())
            self._subject = subject("local-cluster", ())
            extension = x509.BasicConstraints(ca=True, path_length=None)
            write_key(self.key, self._key)
            write_certificate(self.certificate, self._sign(self._subject, self._key, [(extension, True)]))

    def serving(self, name: str, hosts: list[str]) -> None:
        """Write NAME.crt and NAME.key for a server that is reached by these names and addresses, if not there yet."""
        names = x509.SubjectAlternativeName([general_name(host) for host in hosts])
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        self._write(name, subject(name, ()), [(names, False), (usage, False)])

    def client(self, name: str, user: str, *groups: str) -> None:
        """Write NAME.crt and NAME.key with which a client is this user in these groups, if not there yet."""
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        self._write(name, subject(user, groups), [(usage, False)])

    def kubeconfig(self, name: str, server: str, user: str, *groups: str) -> Path:
        """Write NAME.kubeconfig, which holds its certificates, and return its path."""
        self.client(name, user, *groups)
        path = self.folder / f"{name}.kubeconfig"
        files.write(path, yaml.safe_dump(self._kubeconfig(name, server), sort_keys=False), mode=0o600)
        return path

    def service_account_key(self) -> None:
        """Write sa.key and sa.pub, with which tokens of service accounts are signed and checked."""
        path = self.folder / "sa.pub"
        if path.exists():
            return
        key = ec.generate_private_key(ec.SECP256R1())
        public = serialization.PublicFormat.SubjectPublicKeyInfo
        write_key(self.folder / "sa.key", key)
        path.write_bytes(key.public_key().public_bytes(serialization.Encoding.PEM, public))

    def _kubeconfig(self, name: str, server: str) -> dict[str, object]:
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "local", "cluster": {"server": server, "certificate-authority-data": b64(self.certificate)}}
            ],
            "users": [
                {
                    "name": name,
                    "user": {
                        "client-certificate-data": b64(self.folder / f"{name}.crt"),
                        "client-key-data": b64(self.folder / f"{name}.key"),
                    },
                }
            ],
            "contexts": [{"name": "local", "context": {"cluster": "local", "user": name}}],
            "current-context": "local",
        }

    def _write(self, name: str, who: x509.Name, extensions: list[tuple[x509.ExtensionType, bool]]) -> None:
        certificate = self.folder / f"{name}.crt"
        if certificate.exists():
            return
        key = ec.generate_private_key(ec.SECP256R1())
        write_key(self.folder / f"{name}.key", key)
        write_certificate(certificate, self._sign(who, key, extensions))

    def _sign(
        self, who: x509.Name, key: ec.EllipticCurvePrivateKey, extensions: list[tuple[x509.ExtensionType, bool]]
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(who)
            .issuer_name(self._subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + LIFETIME)
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self._key, hashes.SHA256())


def subject(user: str, groups: tuple[str, ...]) -> x509.Name:
    """A certificate's subject: Kubernetes reads the user from CN and the groups from O."""
    organizations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*organizations, x509.NameAttribute(NameOID.COMMON_NAME, user)])


def general_name(host: str) -> x509.GeneralName:
    """A host as an IP address or a DNS name."""
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def private_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Read an EC key."""
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{path} is not an EC key")
    return key


def write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    """Write a key as PEM, readable by its owner only."""
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL
    files.write(path, key.private_bytes(encoding, form, serialization.NoEncryption()).decode(), mode=0o600)


def write_certificate(path: Path, certificate: x509.Certificate) -> None:
    """Write a certificate as PEM; once it is there, it is whole and its key is too."""
    files.write(path, certificate.public_bytes(serialization.Encoding.PEM).decode())


def b64(path: Path) -> str:
    """A file's content in base64."""
    return base64.b64encode(path.read_bytes()).decode()
