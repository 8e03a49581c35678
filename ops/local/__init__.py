"""The local API behind `make run`, and the single event behind `make invoke`.

`make run` calls `server.running`: it reads `template.yaml` (`template.py`, on top of
`cloudformation.py`), starts an embedded DynamoDB with the demo data (`dynamodb.py`, `demo.py`), and
listens. Each request goes through `gateway.py`, which does what API Gateway does: it makes the
Lambda events (`events.py`), and has `functions.py` run the authorizer and then the endpoint from
`src/`, in this process. `docs_site.py` serves the reference beside them. `make invoke` plays one
event on the same data, but in Lambda's own runtime client, in a process of its own (`runtime.py`).
`environment.py` sets the variables that lead boto3 to the data.
"""
