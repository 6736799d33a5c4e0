"""The place of one attention module in the network."""

from dataclasses import dataclass

from torch import nn

from yolo26_attention.detector.sites import Site


@dataclass(frozen=True)
class Place:
    """The place of one attention module.

    Args:
        site: its site; height and width are those of the map at the image size at which sites were found.
        path: path of the convolution in the site's block that it replaces; "" if it joins the block as a whole.
        neighbour: the module whose device, dtype and training mode it adopts.
        in_channels: channels of its input.
        channels: required channels of its output.
        position: number of attention modules that join the site before it.
    """

    site: Site
    path: str
    neighbour: nn.Module
    in_channels: int
    channels: int
    position: int = 0

    @property
    def key(self) -> str:
        """Its part in the seed of its generator; the first attention of a site draws as if it were alone."""
        site = f"{self.site.name}#{self.position}" if self.position else self.site.name
        return f"{site}/{self.path}" if self.path else site

    def __str__(self) -> str:
        return f"{self.site.name} ({self.path})" if self.path else self.site.name
