"""What is done to training images beyond flip and crop: each image by a random word of its own.

    kinds = Augmentation(randaugment="rand-m9-mstd0.5-inc1")
    augment(images, words(seed, step, len(images)), kinds)        uint8 (B, H, W, 3) in, uint8 out

An augmented image is a function of the image, its word and the view, whatever else is in its batch: any image of any
step can be made alone, in any process. What works on normalised batches (erasing, Mixup, CutMix) is in ``tensors``, the
only module here that needs torch; ``repeated`` is an order of images. RandAugment, AugMix, erasing, Mixup and CutMix
are timm's and come with the extra ``regrow[models]``; the rest is ours.
"""

from regrow.data.augmentation.noise import GaussianNoise
from regrow.data.augmentation.prime import Prime
from regrow.data.augmentation.repeats import repeated
from regrow.data.augmentation.timm_policies import AugMix
from regrow.data.augmentation.views import Augmentation, augment, words

__all__ = ["AugMix", "Augmentation", "GaussianNoise", "Prime", "augment", "repeated", "words"]
