"""Code that is never deployed: the console, the local API, the package build, the reference.

`cli.py` is the command `conversations`; the packages beside it hold what its commands do.
`smoke.py` checks a deployment from outside, through `smoke_client.py`.
"""
