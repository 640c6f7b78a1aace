"""Which body a request to a model has: by its task, and by whether it generates its answer."""

from contracts.generation import GenerationBody
from contracts.schemas import BODIES, Body
from contracts.tasks import Task


def body_of(task: Task, generates: bool) -> type[Body]:
    """The schema of a model's requests.

    Args:
        task: what the model was fine-tuned for.
        generates: whether it writes its answer token by token. Then all tasks are asked alike; a
            summariser that does not, chooses sentences and has other parameters.
    """
    return GenerationBody if generates else BODIES[task]
