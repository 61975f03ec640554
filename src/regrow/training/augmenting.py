"""From a run's settings to what is done to its images, and what that costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from regrow.training.settings import TrainingSettings

if TYPE_CHECKING:
    from regrow.data.spec import DataSpec


def passes_per_step(settings: TrainingSettings) -> int:
    """Forward and backward passes per image and step: the views of an image that the loss compares.

    Three (clean and two mixed) under a consistency loss, two under the contrastive loss alone, else one.

    Example:
        >>> passes_per_step(TrainingSettings.model_validate({"steps": 1, "augment": {"augmix": {}}}))
        3
    """
    if settings.augment.consistency > 0:
        return 3
    return 1 if settings.supcon is None else 2


def passes(settings: TrainingSettings) -> int:
    """Forward and backward passes of one optimiser step over its images: of all views, at each place."""
    return passes_per_step(settings) * (2 if settings.sam else 1)


def batch_options(settings: TrainingSettings, spec: DataSpec) -> dict[str, Any]:
    """What is done to a batch beyond crop and flip: ``augmentation``, ``erasing``, ``mixing``, ``repeats``.

    Args:
        settings: the recipe.
        spec: of the training set; its mean is the colour outside images that RandAugment moves.
    """
    from regrow.data.augmentation import Augmentation, AugMix, GaussianNoise, Prime
    from regrow.data.augmentation.tensors import Mixing

    chosen = settings.augment
    own = {"consistency"}  # of the loss, not of the images
    red, green, blue = (round(255 * mean) for mean in spec.mean)
    augmentation = Augmentation(
        randaugment=chosen.randaugment,
        augmix=AugMix(**chosen.augmix.model_dump(exclude=own)) if chosen.augmix else None,
        prime=Prime(**chosen.prime.model_dump(exclude=own)) if chosen.prime else None,
        noise=GaussianNoise(**chosen.gaussian_noise.model_dump()) if chosen.gaussian_noise else None,
        views=passes_per_step(settings),
        clean_first=chosen.consistency > 0,
        fill=(red, green, blue),
    )
    return {
        "augmentation": augmentation,
        "erasing": chosen.erasing,
        "mixing": Mixing(chosen.mixup, chosen.cutmix, chosen.mix_probability, chosen.switch_probability),
        "repeats": chosen.repeats,
    }
