from __future__ import annotations

from datetime import UTC, datetime

from pydantic import AwareDatetime, ConfigDict, Field, field_validator

from gateway.domain.accounts import NewApiKey as DomainNewApiKey
from gateway.domain.accounts import Role
from gateway.schemas.shapes import Page, RequestBody, ResourceName, Shape, own_id


class OrganisationInput(RequestBody):
    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "acme"}]})

    name: ResourceName = Field(description="Unique in this deployment.")


class Organisation(Shape):
    id: str = own_id("organisation_id")
    name: str
    create_time: datetime


class OrganisationList(Page[Organisation]):
    pass


class ApiKeyInput(RequestBody):
    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "nightly import", "role": "member"}]})

    name: ResourceName = Field(description="What it is for.")
    role: Role = Field(
        default=Role.MEMBER, description="`member` uses the library, `admin` manages keys too, `operator` organisations too."
    )
    expire_time: AwareDatetime | None = Field(default=None, description="When it stops being accepted; null: never.")

    @field_validator("expire_time")
    @classmethod
    def _in_the_future(cls, expire_time: datetime | None) -> datetime | None:
        if expire_time is not None and expire_time <= datetime.now(UTC):
            raise ValueError("expire_time must be in the future")
        return expire_time


class ApiKey(Shape):
    """What may be shown of a key."""

    id: str = own_id("api_key_id")
    organisation_id: str
    name: str
    prefix: str = Field(description="The part of the key that tells it apart: `lk_<prefix>_…`.")
    role: Role
    create_time: datetime
    last_used_time: datetime | None = Field(description="Up to a minute late; null: never used.")
    expire_time: datetime | None
    revoke_time: datetime | None


class ApiKeyList(Page[ApiKey]):
    pass


class NewApiKey(ApiKey):
    key: str = Field(description="The key itself. It is shown this once and stored nowhere.")


class NewOrganisation(Organisation):
    api_key: NewApiKey = Field(description="The organisation's first admin key.")


def to_new_api_key(made: DomainNewApiKey) -> NewApiKey:
    return NewApiKey(**ApiKey.model_validate(made.api_key).model_dump(), key=made.text.text)
