"""Conversations, callers, API keys and errors. Imports only pydantic and the standard library."""
