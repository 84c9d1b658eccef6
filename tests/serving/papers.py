"""Keys and certificates for loopback, made when they are needed."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


def written(path, *parts):
    path.write_bytes(b"".join(parts))
    return path


def signed(name, issuer=None):
    """Return a key and a certificate for loopback, its own authority unless there is an issuer."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    issuer_key, issuer_name = (issuer[0], issuer[1].subject) if issuer else (key, subject)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer_name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(names), False)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), True)
    )
    if issuer:
        builder = builder.add_extension(x509.ExtendedKeyUsage(uses), False)
    return key, builder.sign(issuer_key, hashes.SHA256())


def pem(pair):
    key, certificate = pair
    return (
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        certificate.public_bytes(serialization.Encoding.PEM),
    )


def papers_in(folder):
    """Write an authority's, a service's and a caller's that it signed, and a stranger's.

    Returns the files of key and certificate by name.
    """
    authority = signed("authority")
    made = {
        "authority": authority,
        "service": signed("service", authority),
        "caller": signed("caller", authority),
        "stranger": signed("stranger"),
    }
    files = {}
    for name, pair in made.items():
        key, certificate = pem(pair)
        files[name] = written(folder / f"{name}.key", key), written(folder / name, certificate)
    return files
