"""CIFAR-10: 60,000 photographs of 10 classes (https://www.cs.toronto.edu/~kriz/cifar.html)."""

from __future__ import annotations

from regrow.data.cifar import Cifar
from regrow.data.spec import DataSpec

SPEC = DataSpec(
    name="cifar10",
    classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    image_size=32,
    channels=3,
    mean=(0.4914, 0.4822, 0.4465),
    std=(0.247, 0.2435, 0.2616),
    splits={"train": 50_000, "test": 10_000},
    padding="reflect",
    citation="Alex Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009",
    licence="none stated by the authors; for research, cite the report",
    hint=(
        "put the official folder cifar-10-batches-py (or cifar-10-python.tar.gz) under a data root "
        "(--data-root, REGROW_DATA or ~/.cache/regrow/data), or let it be downloaded: `regrow data get cifar10`."
    ),
)

CIFAR = Cifar(
    spec=SPEC,
    python="cifar-10-batches-py",
    binary="cifar-10-batches-bin",
    parts={
        "train": ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"),
        "test": ("test_batch",),
    },
    labels=("labels",),
    fine=0,
    rows={"train": 10_000, "test": 10_000},
    upper=(9,),
    md5={
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
    },
    checksums={
        "train": (
            "2d7df5d85704f60ad52e336c70d7bdcdbb3b7d260e420a5abd597dab956e311618593b01b161172dc09c806d9c6c2f7f"
            "47f23413dc89a58c643aa4e1e2666b69841870c7127252c854028a5251ec68251cb468de7a972d6c0bc5c12e43439faf"
            "9e99b70c5c7416655541db3da2785eee7674d0a06876ab3f966570ed3873fd62b463df15278e90cd13579177de5e7f84"
            "bfc46811a74928bb969f1068c4ae80652c15899fbb62b29f735c40941c7beed1dce541c59fe8152395d889c67014515b"
            "a2207c9b7fe4a5a2"
        ),
        "test": "613b2dc6eaa89f73a646a116e5c847ed3c12796b48140d571430604c2297141ad5327a73bdeaa2a3",
    },
    archive="cifar-10-python.tar.gz",
    archive_size=170_498_071,
    archive_sha256="6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
)

DATASET = CIFAR.dataset()
