"""The space of a search is what Hydra's notation says, no value more and none less."""

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from yolo26_attention.config.errors import ConfigError
from yolo26_attention.study.optuna_space import search_space


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("attention.heads=1,2,4", CategoricalDistribution([1, 2, 4])),
        ("attention.heads=choice(1,2,4)", CategoricalDistribution([1, 2, 4])),
        ("attention=acmix,se", CategoricalDistribution(["acmix", "se"])),
        ("attention.gate=true,null,0.5", CategoricalDistribution([True, None, 0.5])),
        ("placement.sites=choice([p3],[p3,p4])", CategoricalDistribution(["[p3]", "[p3,p4]"])),
        ("attention.heads=shuffle(choice(4,1,2))", CategoricalDistribution([1, 2, 4])),
        ("trainer.epochs=range(4,13,4)", IntDistribution(4, 12, step=4)),
        ("trainer.epochs=tag(log,range(1,100))", IntDistribution(1, 99, log=True)),
        ("trainer.epochs=range(4,12,4)", IntDistribution(4, 8, step=4)),
        ("trainer.epochs=range(12,3,-4)", IntDistribution(4, 12, step=4)),
        ("trainer.mosaic=range(0,1,0.25)", FloatDistribution(0, 0.75, step=0.25)),
        ("attention.kernel_att=interval(3,9)", FloatDistribution(3, 9)),
        ("attention.kernel_att=int(interval(3,9))", IntDistribution(3, 9)),
        ("optimizer.lr0=tag(log,interval(1e-4,1e-2))", FloatDistribution(1e-4, 1e-2, log=True)),
        ("trainer.epochs=tag(log,int(interval(1,64)))", IntDistribution(1, 64, log=True)),
    ],
)
def test_several_values_are_a_distribution(given, wanted):
    space, fixed = search_space([given, "seed=3"])
    assert list(space.values()) == [wanted]
    assert list(space) == [given.partition("=")[0]]
    assert fixed == ["seed=3"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("seed=3", "nothing is searched; give an option several values"),
        ("trainer.epochs=range(4,4)", "range(4,4): this range is empty"),
        ("trainer.epochs=interval(9,3)", "interval(9,3): "),
        ("trainer.epochs=tag(log,range(1,100,3))", "a logarithmic range has whole numbers"),
        ("trainer.mosaic=tag(log,range(0,1,0.25))", "a logarithmic range has whole numbers"),
        ("model.name=choice('1','2')", "choice('1','2'): 1 is a text here"),
        ("model.name=007,x", "007 is a text here and would be tried as 7"),
        ("optimizer.lr0=tag(log,interval(0,1))", "interval(0,1)): "),
    ],
)
def test_a_space_without_values_is_refused(given, message):
    with pytest.raises(ConfigError) as refused:
        search_space([given])
    assert message in str(refused.value)
