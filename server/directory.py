"""From a name in a URL to the version that answers."""

from collections.abc import Callable, Sequence

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


def find_default(
    models: Sequence[ModelStatus],
    chosen: str | None,
    fits: Callable[[ModelStatus], bool],
    needs: str,
) -> ModelStatus:
    """The model of the paths that name none: the chosen one, or the only one that fits.

    Args:
        models: all that are configured.
        chosen: ``--default-model``.
        fits: whether a model can do what is asked.
        needs: in words, such as ``embeds texts``; empty where any model will do.

    Raises:
        UnknownModel: no model fits, or several do and none of them was chosen.
        Unavailable: it is still loading.
    """
    if chosen is not None:
        model = find_model(chosen, models)
        if fits(model):
            return model
    names = sorted({model.name for model in models if fits(model)})
    what = f" that {needs}" if needs else ""
    if not names:
        raise UnknownModel(f"No model{what} is served.")
    if len(names) > 1:
        raise UnknownModel(
            f"Several models{what} are served ({', '.join(names)}): name one in the path, or start"
            " the server with --default-model NAME."
        )
    return find_model(names[0], models)
