"""What the host decides, read from keywords, the environment and `.env`, and checked once."""

from mirt_sitniks.settings.model import VARIABLES, SitniksSettings, look_alikes

__all__ = ["VARIABLES", "SitniksSettings", "look_alikes"]
