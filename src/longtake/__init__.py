"""longtake: record sessions that can never be made again."""

__version__ = "0.1.0"
