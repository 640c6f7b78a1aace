"""From a name in a URL to the version that answers."""

from collections.abc import Sequence

from contracts.errors import Unavailable, UnknownModel
from server.messages import ModelStatus

PRODUCTION = "production"


def find_model(reference: str, models: Sequence[ModelStatus]) -> ModelStatus:
    """Resolve ``name``, ``name@version`` or ``name@alias``.

    A plain name means the version that ``production`` points to, or else the newest one.

    Raises:
        UnknownModel: nothing of that name is served; the sentence names what is.
        Unavailable: it is still loading.
    """
    name, at, pin = reference.partition("@")
    versions = [model for model in models if model.name == name]
    if not versions:
        names = sorted({model.name for model in models if model.state != "refused"})
        raise UnknownModel(f"There is no model {name!r}; served are: {', '.join(names) or 'none'}.")
    if at:
        model = next((each for each in versions if pin in (str(each.version), *each.aliases)), None)
    else:
        newest = max(versions, key=lambda each: (each.state != "refused", each.version))
        model = next((each for each in versions if PRODUCTION in each.aliases), newest)
    if model is None:
        known = sorted({str(each.version) for each in versions}, key=int)
        known += sorted({alias for each in versions for alias in each.aliases})
        raise UnknownModel(f"{name} has no version or alias {pin!r}; it has: {', '.join(known)}.")
    if model.state == "refused":
        raise UnknownModel(f"{reference} is not served: {model.reason}")
    if model.state == "loading":
        raise Unavailable(f"{reference} is loading; try again in a moment.", 2)
    return model
