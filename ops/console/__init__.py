"""The operator's commands: `conversations load`, `export`, `delete`, `find`, `get` and `keys`.

Each command has a file of its name, and `ops/cli.py` registers it; `scan.py` holds those that count
what is in the whole table (`users`, `workspaces`). All share `options.py`, which says which tables
a command works on, and `errors.py`, which explains what went wrong. These files import slow modules
late, so that `--help` is quick. `delete.py` leaves its work to `deleting.py`, and `load.py` to
`loading.py`, which reads each file (`files.py`, `records.py`) and converts Extended JSON to JSON
(`extended_json.py`). Valid conversations go to `writer.py`, which stores them in batches; all other
records go to a rejects file (`rejects.py`). `progress.py` shows the progress, and listens for
Ctrl-C.
"""
