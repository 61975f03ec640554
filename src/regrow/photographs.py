"""The photographs of ice that shipped with the generator of ImageNet-C, and where a package holds them.

Hendrycks and Dietterich 2019, arXiv:1903.12261; a repository under Apache-2.0 that does not name the photographers.
They are looked up and fetched, never shipped.
"""

from __future__ import annotations

#: In the generator's order: file -> md5. It draws among the first five.
FROST = {
    "frost1.png": "6ead634ace1f366d77e87078b465863c",
    "frost2.png": "98f0d2b1d74a048d3bc9c7ecfd886939",
    "frost3.png": "b3ed8eb147824261888e730f916c0d8b",
    "frost4.jpg": "d70b9d6aa0b1fe7bd8133b113787e078",
    "frost5.jpg": "50984ae2c871b7df2c28f1d71ca460a0",
}

#: A published wheel that holds them in a folder ``frost``.
PACKAGE = "imagecorruptions==1.1.2"
