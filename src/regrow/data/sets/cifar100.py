"""CIFAR-100: 60,000 photographs of 100 classes in 20 superclasses (https://www.cs.toronto.edu/~kriz/cifar.html)."""

from __future__ import annotations

from regrow.data.cifar import Cifar
from regrow.data.spec import DataSpec

SPEC = DataSpec(
    name="cifar100",
    classes=tuple(
        """
        apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
        castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
        elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard
        lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear
        pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark
        shrew skunk skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone
        television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
        """.split()  # noqa: SIM905 (a hundred names read better as text)
    ),
    image_size=32,
    channels=3,
    mean=(0.5071, 0.4865, 0.4409),
    std=(0.2673, 0.2564, 0.2762),
    splits={"train": 50_000, "test": 10_000},
    padding="zero",
    citation="Alex Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009",
    licence="none stated by the authors; for research, cite the report",
    hint=(
        "put the official folder cifar-100-python (or cifar-100-python.tar.gz) under a data root "
        "(--data-root, REGROW_DATA or ~/.cache/regrow/data), or let it be downloaded: `regrow data get cifar100`."
    ),
)

CIFAR = Cifar(
    spec=SPEC,
    python="cifar-100-python",
    binary="cifar-100-binary",
    parts={
        "train": ("train",),
        "test": ("test",),
    },
    labels=("coarse_labels", "fine_labels"),
    fine=1,
    rows={"train": 50_000, "test": 10_000},
    upper=(19, 99),
    md5={
        "train": "16019d7e3df5f24257cddd939b257f8d",
        "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
    },
    checksums={
        "train": (
            "69359e67ad5ecbc2f7d37b773d86159d7a95f3c3eb49e77179d44ca9c795a2359f98d9e1369610ccef7524c5c00d4c5e"
            "95b99bde004cdad19d3288be268a01eb2e103cdfac89027af247f057b0db8d905482d8473d5b15798da0babc399a3aa1"
            "a2f1869319b252158f1e151220d58a36cbdd75cd15d81569ce571ff174d217d0c92f3165e199d2cd3fab73154028b8ce"
            "892550564fbc444d7a12494380e3c9bce1b42933ca04c0fda3f6650b82bba9b3120cb4562c090163755c4969226b2f7a"
            "e2c3626036a58952"
        ),
        "test": "fda396a97fdf51fe2499c5c18e463673151c3fad0264364fd6c1998ede109f24bb9957381a375318",
    },
    archive="cifar-100-python.tar.gz",
    archive_size=169_001_437,
    archive_sha256="85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
)

DATASET = CIFAR.dataset()
