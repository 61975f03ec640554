"""Corruptions as transforms for torchvision's v2 pipelines, and as a wrapper of a data set.

    v2.Compose([v2.Resize(256), v2.CenterCrop(224), Corrupt("fog", 3), v2.ToImage(), ...])
    CorruptedDataset(dataset, "fog", 3)        item i has the noise of image number i, as in the written files

They take what the pipelines hold: PIL images, ``tv_tensors.Image``, plain uint8 tensors (..., 3, H, W), alone or in a
sample with labels, boxes and masks, which pass through. torchvision itself is not needed.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from regrow.corruptions import registry
from regrow.corruptions.cells import corrupt
from regrow.corruptions.choice import Frost
from regrow.corruptions.inputs import check_seed, check_severity
from regrow.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image as Picture


class _OfSamples(nn.Module):
    """Transforms the images of a sample (nested tuples, lists and dicts) and passes the rest through.

    Images are found by torchvision's rule: PIL images and ``tv_tensors`` of images and videos; where there is none, the
    first plain tensor.
    """

    def forward(self, *inputs: Any) -> Any:
        """A sample, as one argument or several."""
        sample = inputs if len(inputs) > 1 else inputs[0]
        leaves: list[Any] = []
        _mapped(sample, leaves.append)
        images = [leaf for leaf in leaves if _is_image(leaf)]
        if not images:
            images = [leaf for leaf in leaves if type(leaf) is Tensor][:1]
        chosen = {id(image) for image in images}
        return _mapped(sample, lambda leaf: self.transform(leaf) if id(leaf) in chosen else leaf)

    def transform(self, image: Any) -> Any:
        """One image, video or batch."""
        raise NotImplementedError


def _mapped(sample: Any, function: Callable[[Any], Any]) -> Any:
    if isinstance(sample, tuple) and hasattr(sample, "_fields"):
        return type(sample)(*(_mapped(part, function) for part in sample))
    if isinstance(sample, tuple | list):
        return type(sample)(_mapped(part, function) for part in sample)
    if isinstance(sample, dict):
        return type(sample)((key, _mapped(part, function)) for key, part in sample.items())
    return function(sample)


def _is_image(leaf: Any) -> bool:
    pillow, tensors = sys.modules.get("PIL.Image"), sys.modules.get("torchvision.tv_tensors")
    return (pillow is not None and isinstance(leaf, pillow.Image)) or (
        tensors is not None and isinstance(leaf, tensors.Image | tensors.Video)
    )


Draws = Literal["content", "fresh"]


class Corrupt(_OfSamples):
    """One corruption at one severity.

    Args:
        name: which corruption; see ``regrow.corruptions.names()``.
        severity: 1 to 5.
        seed: seed of the noise.
        draws: ``"content"``: the noise depends on seed and pixels alone, so that an image has the same noise in any
            order, worker and epoch; ``"fresh"``: new noise at every call, from torch's global generator.
        mode: ``"fast"`` or ``"exact"``; see ``regrow.corruptions.corrupt``.
        scale: as in ``regrow.corruptions.corrupt``.
        codec: as there.
        frost: as there.
        stored: as there.

    Raises:
        InputError: an argument that cannot be used; or, when called, an image that cannot be corrupted (see
            ``regrow.corruptions.corrupt``: square, RGB, uint8).
        UnknownNameError: no such corruption.

    Example:
        >>> image = torch.full((3, 32, 32), 100, dtype=torch.uint8)
        >>> Corrupt("brightness", 1)(image)[:, 0, 0].tolist()
        [112, 112, 112]
    """

    def __init__(
        self,
        name: str,
        severity: int,
        *,
        seed: int = 0,
        draws: Draws = "content",
        mode: str = "fast",
        scale: str | None = None,
        codec: str | None = None,
        frost: Frost = None,
        stored: bool = False,
    ) -> None:
        super().__init__()
        if draws not in ("content", "fresh"):
            raise InputError(f"draws must be 'content' or 'fresh', got {draws!r}.", "leave it out for 'content'.")
        self.name, self.severity = registry.get(name).name, check_severity(severity)
        self.seed, self.draws = check_seed(seed), draws
        self.options: dict[str, Any] = {"mode": mode, "scale": scale, "codec": codec, "frost": frost, "stored": stored}

    def extra_repr(self) -> str:
        """For ``print``."""
        return f"{self.name}, severity={self.severity}, seed={self.seed}, draws={self.draws!r}"

    def transform(self, image: Any) -> Any:
        """Corrupt one image or a batch; other types of the sample never come here."""
        if isinstance(image, Tensor):
            planes = image.as_subclass(Tensor)
            done = self._planes(planes.reshape(-1, *planes.shape[-3:])).reshape(planes.shape)
            return _like(done, image)
        return self._picture(image)

    def _planes(self, planes: Tensor) -> Tensor:
        return corrupt(
            planes, self.name, self.severity, seed=self.seed, index=[self._number(p) for p in planes], **self.options
        )

    def _picture(self, picture: Picture) -> Picture:
        from PIL import Image

        if picture.mode != "RGB":
            raise InputError(
                f"images must be RGB, got a picture of mode {picture.mode}.", "image.convert('RGB') first."
            )
        array = np.array(picture, np.uint8)[None]
        index = [self._number(torch.from_numpy(array[0]).permute(2, 0, 1))]
        done = corrupt(array, self.name, self.severity, seed=self.seed, index=index, **self.options)
        return Image.fromarray(done[0])

    def _number(self, planes: Tensor) -> int:
        if self.draws == "fresh":
            return int(torch.randint(1 << 32, ()).item())
        return zlib.crc32(planes.cpu().contiguous().numpy().tobytes())


def _like(done: Tensor, given: Tensor) -> Tensor:
    if type(given) is Tensor:
        return done
    wrapped: Tensor = sys.modules["torchvision.tv_tensors"].wrap(done, like=given)
    return wrapped


class RandomCorrupt(_OfSamples):
    """Another corruption and severity at every call, or none: an augmentation for training.

    Choices and noise come from torch's global generator, so ``torch.manual_seed`` and a loader's workers seed them.

    Args:
        names: to choose from; by default the fifteen common ones. A network trained on them must not be judged by
            them.
        severities: to choose from.
        p: probability that an image is corrupted at all.
        options: as of :class:`Corrupt`.
    """

    def __init__(
        self,
        names: Sequence[str] | None = None,
        severities: Sequence[int] = (1, 2, 3, 4, 5),
        p: float = 1.0,
        **options: Any,
    ) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise InputError(f"p must lie in 0..1, got {p}.", "give a probability.")
        chosen = registry.common_names() if names is None else list(names)
        if not chosen or not severities:
            raise InputError("there is nothing to choose from.", "name at least one corruption and one severity.")
        self.p = p
        self.choices = [Corrupt(n, s, draws="fresh", **options) for n in chosen for s in severities]

    def transform(self, image: Any) -> Any:
        """Corrupt one image or batch by one of the choices."""
        if float(torch.rand(()).item()) >= self.p:
            return image
        chosen = self.choices[int(torch.randint(len(self.choices), ()).item())]
        return chosen.transform(image)


class CorruptedDataset(torch.utils.data.Dataset[Any]):
    """A map-style data set whose images are corrupted as they are read.

    Item ``i`` gets the noise of image number ``i``: the same in any order and worker, and, for a set in its official
    order, the bytes of the files that ``regrow corrupt`` writes in the same mode.

    Args:
        dataset: its items are an image, or a tuple that begins with one: PIL, uint8 tensor (3, H, W) or uint8 array
            (H, W, 3).
        name: which corruption.
        severity: 1 to 5.
        seed: seed of the noise.
        options: ``mode``, ``scale``, ``codec``, ``frost`` and ``stored`` of ``regrow.corruptions.corrupt``.
    """

    def __init__(self, dataset: Any, name: str, severity: int, *, seed: int = 0, **options: Any) -> None:
        self.dataset = dataset
        self.name, self.severity, self.seed = registry.get(name).name, check_severity(severity), check_seed(seed)
        self.options = options

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, i: int) -> Any:
        item, number = self.dataset[i], range(len(self))[i]
        image, rest = (item[0], item[1:]) if isinstance(item, tuple) else (item, None)
        done = self._corrupted(image, number)
        return done if rest is None else (done, *rest)

    def _corrupted(self, image: Any, number: int) -> Any:
        arguments: dict[str, Any] = {"seed": self.seed, "index": [number], **self.options}
        if isinstance(image, Tensor):
            return corrupt(image[None], self.name, self.severity, **arguments)[0]
        if isinstance(image, np.ndarray):
            return corrupt(image[None], self.name, self.severity, **arguments)[0]
        from PIL import Image

        array = np.array(image.convert("RGB"), np.uint8)[None]
        return Image.fromarray(corrupt(array, self.name, self.severity, **arguments)[0])
