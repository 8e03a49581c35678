"""For whoever works on this repository: never deployed, and not part of the operator's console.

`__main__.py` holds the commands behind `make run`, `invoke`, `seed` and `openapi`; `local/` is the
local API, `reference/` builds docs/reference, `package/` is what `sam build` calls, and `smoke.py`
checks a deployment from outside, through `smoke_client.py`.
"""
