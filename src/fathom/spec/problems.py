"""From what pydantic found to what a user reads: one sentence for each problem, at its place."""

from collections.abc import Iterator

from pydantic import BaseModel, ValidationError

from fathom.errors import Problem
from fathom.spec.keys import part_model, unknown_key
from fathom.spec.nodes import MAX_PROBLEMS, Node, join, show

MISSING = {
    "data": "is missing; name a data set, such as data: digits",
    "activation": "is missing; name one or several, such as activation: [relu, tanh]",
    "name": "is missing; name a data set, such as name: digits",
}


def explain(error: ValidationError, root: Node, study: type[BaseModel]) -> Iterator[Problem]:
    """Translate validation errors, the first fifty of them.

    Args:
        error: What pydantic raised.
        root: The study as it was written.
        study: The study's model, for the keys that are known.
    """
    for detail in error.errors(include_url=False, include_input=False)[:MAX_PROBLEMS]:
        loc = detail["loc"]
        node = root.find(loc)
        match detail["type"]:
            case "wrong":
                yield node.problem(detail["ctx"]["message"])
            case "extra_forbidden":
                model = part_model(str(loc[0])) if len(loc) > 1 else study
                known = [*(model or study).model_fields, *(["grid"] if model is study else [])]
                yield node.problem(unknown_key(str(loc[-1]), known))
            case "missing":
                parent = root.find(loc[:-1])
                place = Node(None, join(parent.path, str(loc[-1])), parent.line, parent.column)
                yield place.problem(MISSING[str(loc[-1])])
            case _:
                yield node.problem(f"got {show(node.plain())}; must be a mapping of settings")
