"""What the API's JSON shapes have in common."""

from __future__ import annotations

from typing import Annotated, Any, Generic, Self, TypeVar

from pydantic import AfterValidator, AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, model_validator
from pydantic_core import PydanticCustomError

from gateway.domain.listing import Listing
from gateway.errors import nearest

Item = TypeVar("Item", bound=BaseModel)
_MAX_METADATA_KEYS = 200


class RequestBody(BaseModel):
    """A body that refuses fields it does not know."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_fields(cls, value: Any) -> Any:
        known = list(cls.model_fields)
        for name in value if isinstance(value, dict) else ():
            if name not in known:
                raise PydanticCustomError(
                    "unknown_field",
                    "There is no such field; the nearest is '{nearest}'.",
                    {"unknown_field": name, "nearest": nearest(name, known)},
                )
        return value


class Change(RequestBody):
    """A PATCH: a field that is left out stays as it is."""

    @model_validator(mode="before")
    @classmethod
    def _refuse_null(cls, value: Any) -> Any:
        for name, given in value.items() if isinstance(value, dict) else ():
            if given is None:
                raise PydanticCustomError(
                    "null_in_change",
                    "{name} is null. Leave it out to keep it as it is; send an empty value to clear it.",
                    {"name": name},
                )
        return value


class Shape(BaseModel):
    """A part of a response, read from a domain object."""

    model_config = ConfigDict(from_attributes=True)


def own_id(name: str) -> Any:
    """The field ``id`` of a resource, which the domain calls ``name``; in other resources it is ``name`` too."""
    return Field(validation_alias=AliasChoices(name, "id"))


class Page(BaseModel, Generic[Item]):
    """One page of a list."""

    items: list[Item]
    next_page_token: str | None = Field(description="Give it as `page_token` for the next page; null on the last one.")

    @classmethod
    def of(cls, listing: Listing[Any]) -> Self:
        """The page that shows ``listing``."""
        return cls.model_validate({"items": listing.items, "next_page_token": listing.next_token or None}, from_attributes=True)


def _resource_name(name: str) -> str:
    if name != name.strip():
        raise ValueError("a name neither begins nor ends with white space")
    if "/" in name or not name.isprintable():
        raise ValueError("a name has no '/' and no control characters, because it stands in addresses")
    return name


def _metadata(metadata: dict[str, JsonValue]) -> dict[str, JsonValue]:
    if len(metadata) > _MAX_METADATA_KEYS:
        raise ValueError(f"metadata has more than {_MAX_METADATA_KEYS} keys")
    return metadata


ResourceName = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_resource_name)]
Metadata = Annotated[dict[str, JsonValue], AfterValidator(_metadata), Field(description="Free metadata; filters can use it.")]
# Messages have no absent strings: what is empty there was never given.
OptionalText = Annotated[str | None, BeforeValidator(lambda value: value or None)]
