"""MD5 sums of the published files of CIFAR-10-C and CIFAR-100-C, and of the archives of these and of the trees.

Those of the files are pinned alike by the public loaders of these sets, those of the archives by Zenodo: records
2535967 (CIFAR-10-C), 3555552 (CIFAR-100-C), 2235448 (ImageNet-C), 8206060 (Tiny-ImageNet-C).
"""

from __future__ import annotations

from typing import NamedTuple

from regrow.errors import UnknownNameError


class Official(NamedTuple):
    """Sum of a published ``.npy`` file, and whether a deterministic program can make it from the clean test set."""

    md5: str
    deterministic: bool


#: Data set -> folder of its published corrupted form.
PUBLISHED: dict[str, str] = {"cifar10": "CIFAR-10-C", "cifar100": "CIFAR-100-C"}

#: Images in each severity of a published file.
PUBLISHED_IMAGES = 10_000

# File without .npy -> md5 of CIFAR-10-C, md5 of CIFAR-100-C, deterministic. The others were drawn without a seed.
# jpeg_compression needs the encoder of IJG libjpeg 9.
_MD5: dict[str, tuple[str, str, bool]] = {
    "brightness": ("0a81ef75e0b523c3383219c330a85d48", "f22d7195aecd6abb541e27fca230c171", True),
    "contrast": ("3c8262171c51307f916c30a3308235a8", "322bb385f1d05154ee197ca16535f71e", True),
    "defocus_blur": ("7d1322666342a0702b1957e92f6254bc", "d923e3d9c585a27f0956e2f2ad832564", True),
    "elastic_transform": ("9421657c6cd452429cf6ce96cc412b5f", "a0792bd6581f6810878be71acedfc65a", False),
    "fog": ("7b397314b5670f825465fbcd1f6e9ccd", "4efc7ebd5e82b028bdbe13048e3ea564", False),
    "frost": ("31f6ab3bce1d9934abfb0cc13656f141", "3a39c6823bdfaa0bf8b12fe7004b8117", False),
    "gaussian_blur": ("c33370155bc9b055fb4a89113d3c559d", "5204ba0d557839772ef5a4196a052c3e", True),
    "gaussian_noise": ("ecaf8b9a2399ffeda7680934c33405fd", "ecc4d366eac432bdf25c024086f5e97d", False),
    "glass_blur": ("7361fb4019269e02dbf6925f083e8629", "0bf384f38e5ccbf8dd479d9059b913e1", False),
    "impulse_noise": ("2090e01c83519ec51427e65116af6b1a", "3b3c210ddfa0b5cb918ff4537a429fef", False),
    "jpeg_compression": ("2b9cc4c864e0193bb64db8d7728f8187", "c851b7f1324e1d2ffddeb76920576d11", True),
    "labels": ("c439b113295ed5254878798ffe28fd54", "bb4026e9ce52996b95f439544568cdb2", True),
    "motion_blur": ("fffa5f852ff7ad299cfe8a7643f090f4", "732a7e2e54152ff97c742d4c388c5516", False),
    "pixelate": ("0f14f7e2db14288304e1de10df16832f", "96c00c60f144539e14cffb02ddbd0640", True),
    "saturate": ("1cfae0964219c5102abbb883e538cc56", "c0697e9fdd646916a61e9c312c77bf6b", True),
    "shot_noise": ("3a7239bb118894f013d9bf1984be7f11", "b0a1fa6e1e465a747c1b204b1914048a", False),
    "snow": ("bb238de8555123da9c282dea23bd6e55", "0237be164583af146b7b144e73b43465", False),
    "spatter": ("8a5a3903a7f8f65b59501a6093b4311e", "12ccf41d62564d36e1f6a6ada5022728", False),
    "speckle_noise": ("ef00b87611792b00df09c0b0237a1e30", "e3f215b1a0f9fd9fd6f0d1cf94a7ce99", False),
    "zoom_blur": ("6ea8e63f1c5cdee1517533840641641b", "0204613400c034a81c4830d5df81cb82", True),
}


#: Published archive -> its md5. The pictures of a tree have no published sums of their own.
ARCHIVES: dict[str, str] = {
    "CIFAR-10-C.tar": "56bf5dcef84df0e2308c6dcbcbbd8499",
    "CIFAR-100-C.tar": "11f0ed0f1191edbf9fa23466ae6021d3",
    "blur.tar": "2d8e81fdd8e07fef67b9334fa635e45c",
    "digital.tar": "89157860d7b10d5797849337ca2e5c03",
    "extra.tar": "d492dfba5fc162d8ec2c3cd8ee672984",
    "noise.tar": "e80562d7f6c3f8834afb1ecf27252745",
    "weather.tar": "33ffea4db4d93fe4a428c40a6ce0c25d",
    "Tiny-ImageNet-C.tar": "f9c9a9dbdc11469f0b850190f7ad8be1",
    "Tiny-ImageNet-C-extra.tar": "0db0588d243cf403ef93449ec52b70eb",
}


def official_md5(set_name: str, corruption: str) -> Official:
    """MD5 of the whole published file of a corruption (or of ``"labels"``).

    Args:
        set_name: ``"cifar10"`` or ``"cifar100"``.
        corruption: one of the nineteen names, or ``"labels"``.

    Returns:
        ``(md5, deterministic)``; where ``deterministic`` is false no program can make these bytes again.

    Raises:
        UnknownNameError: no such set or file.

    Example:
        >>> official_md5("cifar10", "brightness")
        Official(md5='0a81ef75e0b523c3383219c330a85d48', deterministic=True)
    """
    if set_name not in PUBLISHED:
        raise UnknownNameError("published set", set_name, PUBLISHED, "give one of these.")
    if corruption not in _MD5:
        raise UnknownNameError("published file", corruption, _MD5, "give one of these.")
    *sums, deterministic = _MD5[corruption]
    return Official(str(sums[list(PUBLISHED).index(set_name)]), bool(deterministic))


def was_published(name: str) -> bool:
    """Whether the published sets hold a file of this name."""
    return name in _MD5


def recognise(labels_md5: str) -> str | None:
    """The data set whose published ``labels.npy`` has this md5, or ``None``."""
    return next((name for name in PUBLISHED if official_md5(name, "labels").md5 == labels_md5), None)
