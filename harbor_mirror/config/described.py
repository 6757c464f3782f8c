"""Models whose fields are described by the texts below them, in JSON Schemas only.

pydantic's own `use_attribute_docstrings` parses the source of every model when it is imported: a quarter of the time
that commands of mirrorctl take to start.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from itertools import pairwise
from typing import cast

from pydantic import BaseModel, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema


class Described(BaseModel):
    """A model with the descriptions of its fields in its JSON Schema."""

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler, /) -> JsonSchemaValue:
        shown = handler(core_schema)
        properties = handler.resolve_ref_schema(shown).get("properties", {})
        for model in cls.__mro__:
            if issubclass(model, Described) and model is not Described:
                for name, text in _docstrings(model).items():
                    properties[cls.model_fields[name].alias or name].setdefault("description", text)
        return shown


def _docstrings(model: type) -> dict[str, str]:
    """Return the text below each field."""
    definition = cast("ast.ClassDef", ast.parse(textwrap.dedent(inspect.getsource(model))).body[0])
    return {
        field.target.id: inspect.cleandoc(below.value.value)
        for field, below in pairwise(definition.body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(below, ast.Expr)
        and isinstance(below.value, ast.Constant)
        and isinstance(below.value.value, str)
    }
