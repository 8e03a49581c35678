"""The conversation, as clients receive it, and its canonical JSON."""

from math import isfinite
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, from_json

from domain.caller import ID
from domain.timestamp import to_utc

Id = Annotated[str, StringConstraints(pattern=ID)]
Timestamp = Annotated[str, AfterValidator(to_utc), Field(json_schema_extra={"format": "date-time"})]


class _Model(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", allow_inf_nan=False)


def _without_nulls(customer: Any) -> Any:
    if isinstance(customer, dict):
        return {name: value for name, value in customer.items() if value is not None}
    return customer


def _require_finite(value: Any, *location: str | int) -> None:
    """Refuse JSON with a number such as 1e999, and name only the first: there may be a million."""
    if isinstance(value, float) and not isfinite(value):
        error = InitErrorDetails(type="finite_number", loc=location, input=value)
        raise ValidationError.from_exception_data("number", [error])
    if isinstance(value, list):
        for number, item in enumerate(value):
            _require_finite(item, *location, number)
    if isinstance(value, dict):
        for name, item in value.items():
            _require_finite(item, *location, name)


class Customer(_Model):
    """Customer details associated with the conversation. Any of the three may be absent."""

    name: str = Field(default="", description="The name of the customer.")
    email: str = Field(default="", description="The email address of the customer.")
    phone: str = Field(default="", description="The phone number of the customer.")


class Message(_Model):
    """A message of the conversation. Additional fields are kept."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Any]

    direction: str = Field(description="The direction, such as `inbound` or `outbound`.")
    sent: bool = Field(description="Whether the message has been sent.")
    message: str = Field(description="The text of the message.")
    status: str = Field(description="The status, such as `approved`. New values may be added.")
    id: str = Field(alias="_id", description="The unique identifier for the message.")
    created_at: Timestamp = Field(
        alias="createdAt", description="The timestamp when the message was created."
    )
    updated_at: Timestamp = Field(
        alias="updatedAt", description="The timestamp when the message was last updated."
    )

    @model_validator(mode="after")
    def _has_finite_numbers(self) -> Self:
        _require_finite(self.__pydantic_extra__)
        return self


class Conversation(_Model):
    """A conversation of a user with a customer. Clients get the fields in this order."""

    id: Id = Field(alias="_id", description="The unique identifier for the conversation.")
    user_id: Id = Field(
        alias="userId",
        description="The unique identifier for the user associated with the conversation.",
    )
    pathway_id: str = Field(
        alias="pathwayId",
        description="The unique identifier for the flows associated with the conversation.",
    )
    agent_id: str = Field(
        alias="agentId",
        description="The unique identifier for the agent handling the conversation.",
    )
    customer: Annotated[Customer, BeforeValidator(_without_nulls)]
    # Stops at the first wrong message: a million errors would take gigabytes.
    messages: Annotated[list[Message], FailFast()] = Field(
        description="A list of messages within the conversation."
    )
    created_at: Timestamp = Field(
        alias="createdAt", description="The timestamp when the conversation was created."
    )
    updated_at: Timestamp = Field(
        alias="updatedAt", description="The timestamp when the conversation was last updated."
    )

    @classmethod
    def from_json(cls, text: bytes | str) -> Self:
        """The conversation that a JSON object describes. Additional fields are dropped.

        Raises:
            ValueError: the text is not JSON (RFC 8259: no NaN, no lone surrogate) or does not
                describe a conversation.
        """
        # Not `model_validate_json`: that turns a NaN among a message's further fields into null.
        return cls.model_validate(from_json(text, allow_inf_nan=False))

    def to_json(self) -> bytes:
        """The canonical JSON: compact, UTF-8, without absent fields.

        Raises:
            ValueError: a text holds a lone surrogate, which UTF-8 cannot represent.
        """
        return self.model_dump_json(by_alias=True, exclude_unset=True).encode()
