"""A certificate for this machine's own names, signed by itself."""

import subprocess
from pathlib import Path


def self_signed(folder: Path) -> tuple[Path, Path]:
    """Write one that is good for two days: the certificate and its key."""
    certificate, private = folder / "a.pem", folder / "a.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            *("-out", certificate, "-keyout", private),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, private
