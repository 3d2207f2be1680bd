"""What every answer of the server has in common."""

from pydantic import BaseModel, ConfigDict


class Reply(BaseModel):
    """Fields that a newer server adds are kept and can be read by name."""

    model_config = ConfigDict(frozen=True, extra="allow")
