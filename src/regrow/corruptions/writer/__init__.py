"""Corrupted sets on disk, in the layouts of the published ones, made on all cores.

    write_cifar_style(images, labels, out, ["all"], source="cifar10")   as CIFAR-10-C: one .npy file a corruption
    write_tree(pictures, out, ["common"])      as ImageNet-C: corruption/severity/class/name.JPEG
    write_clips(clips, out)                    corruption/severity/class/name, video files
    verify(out)                                against its manifest and the published md5s
    preview(image, ["all"])                    one picture, all corruptions and severities

A file or folder appears under its name only when it is whole, and ``manifest.json`` names it only after that. A set
that was stopped in any way goes on with the same call where it was: ``.NAME.journal`` says which blocks of images of
the unfinished corruption are done, with their digests. Bytes never depend on the number of processes.
"""

from __future__ import annotations

from regrow.corruptions.writer.clips import Clips, ClipSettings, choose_clip_names, severities_in, write_clips
from regrow.corruptions.writer.folders import Tree
from regrow.corruptions.writer.manifest import Progress, Row, caveats, choose_names
from regrow.corruptions.writer.npy import write_cifar_style
from regrow.corruptions.writer.pictures import ArrayPictures, Pictures
from regrow.corruptions.writer.preview import preview, preview_clip
from regrow.corruptions.writer.tree import write_tree
from regrow.corruptions.writer.verifying import verify

__all__ = [
    "ArrayPictures",
    "ClipSettings",
    "Clips",
    "Pictures",
    "Progress",
    "Row",
    "Tree",
    "caveats",
    "choose_clip_names",
    "choose_names",
    "preview",
    "preview_clip",
    "severities_in",
    "verify",
    "write_cifar_style",
    "write_clips",
    "write_tree",
]
