"""The JSON Schema of scenario files, for editors."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from sim.agents import registry
from sim.scenario.model import Scenario

DIALECT = "https://json-schema.org/draft/2020-12/schema"


class _Written(GenerateJsonSchema):
    """The schema of what is written in a file: quantities may be text such as `5%` or `2h`."""

    def function_before_schema(
        self, schema: core_schema.BeforeValidatorFunctionSchema
    ) -> JsonSchemaValue:
        inner = self.generate_inner(schema["schema"])
        return {"anyOf": [inner, {"type": "string"}, {"type": "number"}]}

    def tagged_union_schema(self, schema: core_schema.TaggedUnionSchema) -> JsonSchemaValue:
        union = super().tagged_union_schema(schema)
        # A setting is a distribution or anything that does not say that it is one.
        plain = {"not": {"type": "object", "required": ["dist"]}}
        union["oneOf"] = [member or plain for member in union["oneOf"]]
        return union


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a scenario file."""
    schema = Scenario.model_json_schema(by_alias=True, schema_generator=_Written)
    names = {
        "anyOf": [
            {"enum": list(registry.known())},
            {"type": "string", "pattern": r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"},
        ],
        "description": "A name of `plimsoll list agents`, or package.module:Class",
    }
    schema["$defs"]["AgentGroup"]["properties"]["use"] = names
    schema["properties"]["extends"] = {
        "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
        "description": "Scenarios, shipped or beside this one, that this one is laid over.",
    }
    # What a file leaves out may come from one that it extends; a distribution is written whole.
    for model in (schema, *schema["$defs"].values()):
        if "dist" not in model.get("properties", {}):
            model.pop("required", None)
    return {"$schema": DIALECT, **schema}
