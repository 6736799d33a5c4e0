"""The recipe of a data set: `trainer=full` unless the data are the digits, for which `trainer=quick` was made."""

import re
from collections.abc import Mapping, Sequence

DIGITS = "digits"
RECIPE = "full"


def needs_recipe(given: Mapping[str, object]) -> bool:
    """Whether options choose other data than the digits and no recipe; a point of a study brings its own.

    Args:
        given: values by key; several values of one key in any notation of Hydra, such as a,b or choice(a,b).
    """
    own = given.get("data.yaml") not in {None, "null", ""}
    public = "data" in given and DIGITS not in re.findall(r"[\w-]+", str(given["data"]))
    return (own or public) and not {"trainer", "point"} & set(given)


def recipe_for(overrides: Sequence[str]) -> list[str]:
    """The override that chooses the recipe, if the given ones need it; otherwise none."""
    given = {key: value for key, _, value in (override.partition("=") for override in overrides)}
    return [f"trainer={RECIPE}"] if needs_recipe(given) else []
