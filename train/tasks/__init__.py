"""What training must know about a task: examples, targets, loss, scores and baselines."""

from contracts.tasks import Task
from train.recipe import Recipe
from train.tasks.base import TrainTask
from train.tasks.classification import ClassificationTraining
from train.tasks.generation import GENERATION
from train.tasks.ner import NerTraining
from train.tasks.qa import QaTraining
from train.tasks.summary import SummaryTraining

TASKS: dict[Task, type[TrainTask]] = {
    one.task: one for one in (ClassificationTraining, NerTraining, QaTraining, SummaryTraining)
}


def training_task(recipe: Recipe) -> TrainTask:
    """The training side of the recipe's task."""
    table = TASKS if recipe.model.kind is None else GENERATION
    return table[recipe.model.task](recipe)
