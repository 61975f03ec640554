"""Every dangerous file operation, once: atomic writes, digests, locks, archives, restricted unpickling.

Whatever regrow writes appears under its name only when it is whole: a temporary file in the same folder is written,
flushed to the disk and renamed.
"""

from regrow.files.arrays import MOST_ARRAY_BYTES, read_array, read_arrays, require_stored
from regrow.files.fetching import download
from regrow.files.ownership import owned
from regrow.files.pickles import read_pickle
from regrow.files.places import cache_root, data_roots, inside
from regrow.files.tars import TarEntry, archive_damage_told, extract_tar, tar_entries
from regrow.files.whole import (
    Lines,
    append_lines,
    atomic_path,
    file_digest,
    is_temporary,
    keep_lines,
    read_json,
    read_lines,
    sweep,
    value_digest,
    write_bytes,
    write_json,
    write_text,
)

__all__ = [
    "MOST_ARRAY_BYTES",
    "Lines",
    "TarEntry",
    "append_lines",
    "archive_damage_told",
    "atomic_path",
    "cache_root",
    "data_roots",
    "download",
    "extract_tar",
    "file_digest",
    "inside",
    "is_temporary",
    "keep_lines",
    "owned",
    "read_array",
    "read_arrays",
    "read_json",
    "read_lines",
    "read_pickle",
    "require_stored",
    "sweep",
    "tar_entries",
    "value_digest",
    "write_bytes",
    "write_json",
    "write_text",
]
