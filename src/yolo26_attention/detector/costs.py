"""The cost of a graft, site by site."""

import copy
from dataclasses import dataclass, replace

from ultralytics.nn.tasks import BaseModel

from yolo26_attention.detector.sites import find_sites
from yolo26_attention.evaluation.flops import count_parameters, count_without_computing


@dataclass(frozen=True)
class SiteCost:
    """A site of the network and the cost of its graft, fused as deployed.

    Height and width in pixels; parameters and FLOPs are None for a site without attention.
    """

    name: str
    layer: int
    channels: int
    height: int
    width: int
    parameters: int | None = None
    flops: int | None = None


def site_costs(stock: BaseModel, grafted: BaseModel, imgsz: int) -> list[SiteCost]:
    """Compare a stock model with its grafted copy site by site, in network order; neither is changed.

    Args:
        stock: the model without the graft.
        grafted: the same model with the graft.
        imgsz: side of the square image, in pixels.
    """
    before, after = (copy.deepcopy(model).eval().fuse(verbose=False).model for model in (stock, grafted))
    costs = []
    for site in find_sites(stock, imgsz).values():
        cost = SiteCost(site.name, site.layer, site.channels, site.height, site.width)
        if site.name in getattr(grafted, "grafted_sites", {}):
            blocks = before[site.layer], after[site.layer]
            parameters = [count_parameters(block) for block in blocks]
            maps = site.in_channels, site.height, site.width
            flops = [count_without_computing(block, *maps).flops for block in blocks]
            cost = replace(cost, parameters=parameters[1] - parameters[0], flops=flops[1] - flops[0])
        costs.append(cost)
    return costs
