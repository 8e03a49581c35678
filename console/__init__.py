"""The operator's command `conversations`, with a file for each of its commands.

`cli.py` registers the commands; `scan.py` holds `users` and `workspaces`, which count what is in
the whole table. All share `options.py`, which says which tables a command works on, `errors.py`,
which explains what went wrong, and `terminal.py`, which alone prints. These files import slow
modules late, so that `--help` is quick. `delete.py` leaves its work to `deleting.py` and
`erasing.py`, and `load.py` to `loading.py`, which reads each file (`files.py`, `records.py`) and
converts Extended JSON to JSON (`extended_json.py`). Valid conversations go to `writer.py`, which
stores them in batches; all other records go to a rejects file (`rejects.py`). `progress.py` shows
the progress, and listens for Ctrl-C. `tables/` is the write side of both tables.
"""
