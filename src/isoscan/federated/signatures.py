"""Who wrote a message: detached signatures made with keys that hospitals have already.

A checksum protects against damage; only a signature protects against forgery. A site signs
with ``ssh-keygen -Y sign -n isoscan -f KEY FILE``, which writes ``FILE.sig``.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from isoscan.errors import MessageFileError, MissingFileError, MissingPackageError

NAMESPACE = "isoscan"
_SECONDS = 20


def require_signature(path: str | Path, allowed_signers: str | Path, location: str) -> None:
    """Refuse a message that was not signed by the site it says it is from.

    Parameters
    ----------
    path : str or Path
        The message; its signature lies beside it as ``PATH.sig``.
    allowed_signers : str or Path
        One line per location: its name, then its public key, as ssh-keygen defines it.
    location : str
        The site that the message names.

    Raises
    ------
    MessageFileError
        If there is no signature, or it is of somebody else or of other contents.
    MissingFileError
        If there is no file of allowed signers.
    MissingPackageError
        If ssh-keygen is not installed.
    """
    path, signature = Path(path), Path(f"{path}.sig")
    program = shutil.which("ssh-keygen")
    if program is None:
        raise MissingPackageError("signatures are verified by ssh-keygen, which is not installed.")
    if not Path(allowed_signers).is_file():
        raise MissingFileError(f"there is no file of allowed signers {allowed_signers}.")
    if not signature.is_file():
        raise MessageFileError(
            f"{path.name}: not signed ({signature.name} is not there). The site signs with "
            f"ssh-keygen -Y sign -n {NAMESPACE} -f KEY {path.name}."
        )
    words = [program, "-Y", "verify", "-f", str(allowed_signers), "-I", location]
    words += ["-n", NAMESPACE, "-s", str(signature)]
    done = subprocess.run(
        words, input=path.read_bytes(), capture_output=True, timeout=_SECONDS, check=False
    )
    if done.returncode:
        raise MessageFileError(
            f"{path.name}: the signature is not one of '{location}' for these contents. Ask the "
            f"site to sign again, or correct the allowed signers."
        )
