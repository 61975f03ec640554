"""regrow: dynamic sparse training and image-corruption robustness."""

__version__ = "0.1.0"
