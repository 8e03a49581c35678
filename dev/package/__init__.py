"""The build that `sam build` runs in place of its Python builder.

`template.yaml` names a folder in `sam/` for each processor; its Makefile runs `build.py`, which
installs the locked dependencies, removes what the functions never use, and compiles the rest. It
needs only the standard library, since it runs in the runtime's Python, outside any environment.
"""
