"""Sections of a spec that are one of several things, told apart by a field."""

from collections.abc import Mapping
from typing import Any, ClassVar

from marshmallow import ValidationError
from marshmallow_oneofschema.one_of_schema import OneOfSchema

from schemas.fields import Among, is_object
from schemas.problems import Message, fault


class VariantSchema(OneOfSchema):
    """One of ``type_schemas``, by the name in ``type_field``; ``default`` is meant where there is none."""

    type_field_remove = False
    default: ClassVar[str | None] = None

    def get_obj_type(self, obj: Any) -> str:
        return str(obj[self.type_field] if isinstance(obj, Mapping) else getattr(obj, self.type_field))

    def _load(self, data: Any, **kwargs: Any) -> Any:
        if not is_object(data):
            raise fault("invalid_type", "Must be an object.")
        name = data.get(self.type_field, self.default)
        if name is None:
            if self.type_field not in data:
                raise fault("missing_field", "Missing data for required field.", self.type_field)
            raise fault("invalid_type", "Field may not be null.", self.type_field)
        if not isinstance(name, str):
            raise fault("invalid_type", "Not a valid string.", self.type_field)
        try:
            Among(self.type_schemas)(name)
        except ValidationError as error:
            raise ValidationError({self.type_field: error.messages}) from None
        try:
            return super()._load({**data, self.type_field: name}, **kwargs)  # type: ignore[no-untyped-call]
        except ValidationError as error:
            raise ValidationError(self._told(name, error.messages)) from None

    def _told(self, name: str, messages: Any) -> Any:
        """The errors; a field of another variant is told from one that nobody knows."""
        if not isinstance(messages, dict):
            return messages
        own = self._fields_of(name)
        return {key: (key not in own and self._owners(key)) or said for key, said in messages.items()}

    def _owners(self, key: str) -> list[str]:
        owners = [name for name in self.type_schemas if key in self._fields_of(name)]
        text = f"Only with {self.type_field} {' or '.join(owners)}."
        return [Message("unknown_field", text)] if owners else []

    def _fields_of(self, name: str) -> Mapping[str, Any]:
        schema: Any = self.type_schemas[name]
        fields: Mapping[str, Any] = schema().load_fields
        return fields

    @classmethod
    def empty(cls) -> Any:
        """What loading an empty object gives: the default variant with its defaults."""
        return cls().load({})  # type: ignore[no-untyped-call]
