"""The response as pydantic models, for the two Python peers."""

from pydantic import BaseModel, ConfigDict, Field


class Customer(BaseModel):
    """Customer details; each may be absent."""

    name: str | None = None
    email: str | None = None
    phone: str | None = None


class Message(BaseModel):
    """A message."""

    model_config = ConfigDict(populate_by_name=True)

    direction: str
    sent: bool
    message: str
    status: str
    id: str = Field(alias="_id")
    created_at: str = Field(alias="createdAt")
    updated_at: str = Field(alias="updatedAt")


class Conversation(BaseModel):
    """A conversation."""

    model_config = ConfigDict(populate_by_name=True)

    id: str = Field(alias="_id")
    user_id: str = Field(alias="userId")
    pathway_id: str = Field(alias="pathwayId")
    agent_id: str = Field(alias="agentId")
    customer: Customer
    messages: list[Message]
    created_at: str = Field(alias="createdAt")
    updated_at: str = Field(alias="updatedAt")
