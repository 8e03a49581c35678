"""Conversations, callers, API keys and errors: pydantic and the standard library, nothing else."""
