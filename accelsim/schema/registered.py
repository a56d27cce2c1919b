"""Keys whose value is one of several models, chosen by name from a registry when a file is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import PydanticCustomError, PydanticKnownError, core_schema

from accelsim.errors import InputError

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

BROKEN_ENTRY = "broken_entry"
"""Type of the pydantic error of an entry that cannot be had: a plug-in that fails to import, two of one name."""


class Entries(Protocol[T_co]):
    """What is asked of a registry: `accelsim.registry.Registry` has it."""

    def __contains__(self, name: object) -> bool: ...
    def __getitem__(self, name: str) -> T_co: ...
    def names(self) -> list[str]: ...
    def loaded(self) -> Mapping[str, T_co]: ...


def _itself(entry: Any) -> Any:
    return entry


@dataclass(frozen=True)
class Registered:
    """Marks a model's field, ``Annotated[Device, Registered(DEVICES)]``: a mapping whose ``tag`` names its model.

    The registry is asked when a file is read, so that what a plug-in adds is known and nothing else is imported.
    ``model``: from an entry of the registry to its pydantic model, by default the entry itself. An instance of the
    annotated class is taken as it is.
    """

    entries: Entries[Any]
    tag: str = "kind"
    model: Callable[[Any], type[BaseModel]] = _itself

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        def validate(value: Any) -> Any:
            return value if isinstance(value, source) else self._model_of(value).model_validate(value)

        return core_schema.no_info_plain_validator_function(validate)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        models = {name: self.model(entry).__pydantic_core_schema__ for name, entry in self.entries.loaded().items()}
        return handler(core_schema.tagged_union_schema(models, discriminator=self.tag))

    def _model_of(self, value: Any) -> type[BaseModel]:
        where = {"discriminator": f"'{self.tag}'"}
        if not isinstance(value, dict) or self.tag not in value:
            raise PydanticKnownError("union_tag_not_found", where)
        name = value[self.tag]
        if not isinstance(name, str) or name not in self.entries:
            expected = ", ".join(map(repr, self.entries.names()))
            raise PydanticKnownError("union_tag_invalid", {**where, "tag": str(name), "expected_tags": expected})
        try:
            return self.model(self.entries[name])
        except InputError as error:
            # Said as one of the file's problems, so that it has a line and the others are reported with it.
            raise PydanticCustomError(BROKEN_ENTRY, "{message}", {**where, "message": str(error)}) from None
