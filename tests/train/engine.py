"""One tiny fit without export and publication: what a test of the engine looks at."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handlers.tokenization import TextTokenizer
from model_store.derive import derive_manifest
from tests.train.runs import WRITERS, write_recipe
from train.base_model import save_model, save_tokenizer, seed_everything
from train.callbacks import Callback
from train.examples import read_examples
from train.fit import Fitted, fit
from train.recipe import Recipe
from train.recipe_file import load_recipe
from train.tasks import training_task


@dataclass
class Fit:
    """A fit that is done."""

    recipe: Recipe
    model: Any
    before: dict[str, Any]
    """The weights that it began with."""
    fitted: Fitted

    def moved(self) -> set[str]:
        """Names of the weights that changed."""
        now = self.model.state_dict()
        return {name for name, value in self.before.items() if not value.equal(now[name])}


def fit_tiny(
    folder: Path,
    *overrides: str,
    task: str = "classification",
    more: str = "",
    callbacks: Sequence[Callback] = (),
    work: Path | None = None,
    resume: bool = False,
    **optim: Any,
) -> Fit:
    """Fine-tune the tiny BERT; ``more`` is TOML after the data section, for ``[[callbacks]]``."""
    path = write_recipe(folder, task, WRITERS[task](folder), more, **optim)
    recipe = load_recipe(path, overrides)
    job = training_task(recipe)
    examples = read_examples(recipe, job)
    seed_everything(recipe.seed)
    model = job.load(recipe.model)
    made = folder / "made"
    save_tokenizer(recipe.model, made)
    save_model(model, made)
    manifest = derive_manifest(made, task=job.task)
    handler = job.handler(manifest, TextTokenizer.load(made, manifest.max_tokens))
    rows = job.rows(examples.train, handler)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fitted = fit(
        recipe,
        job,
        model,
        handler,
        rows,
        examples.dev,
        callbacks=callbacks,
        work=work,
        resume=resume,
    )
    return Fit(recipe, model, before, fitted)
