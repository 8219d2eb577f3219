# SPDX-License-Identifier: Apache-2.0
"""A name for what a recipe makes, that another recipe's does not have."""
import hashlib


def digest(folder):
    """Of the names and the content of a recipe's files."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob('*')):
        if path.is_file():
            found.update(str(path.relative_to(folder)).encode() + b'\0')
            found.update(path.read_bytes())
    return found.hexdigest()[:16]
