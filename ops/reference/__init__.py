"""Builds `docs/reference` from the code, for `conversations openapi`.

`openapi.py` makes the OpenAPI document from what the handlers declare, with every error as
`errors.py` describes it; `pages.py` writes that document and its Markdown.
"""
