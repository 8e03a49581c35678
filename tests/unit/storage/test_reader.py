"""Signatures of requests: AWS's published examples, and botocore's for two thousand more."""

import random
import string

import botocore.auth
import botocore.session
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from storage.reader import sign

# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-test-suite.html
EXAMPLE_TOKEN = (
    "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfp"
    "SPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQ"
    "DYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+s"
    "cqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="
)


@pytest.mark.parametrize(
    ("more", "signature"),
    [
        ({}, "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),  # post-vanilla
        (  # post-sts-header-before
            {"x-amz-security-token": EXAMPLE_TOKEN},
            "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
        ),
    ],
)
def test_signatures_are_those_of_aws_examples(more: dict[str, str], signature: str) -> None:
    headers = {"host": "example.amazonaws.com", "x-amz-date": "20150830T123600Z"} | more
    scope = "20150830/us-east-1/service/aws4_request"
    signed = sign(headers, b"", scope, "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
    assert signed == (
        f"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{scope}, "
        f"SignedHeaders={';'.join(sorted(headers))}, Signature={signature}"
    )


def test_signatures_are_those_of_botocore() -> None:
    """Two thousand requests; the seed makes a failure one that comes again."""
    generator = random.Random(15)
    letters = string.ascii_letters + string.digits + "+/="
    regions = botocore.session.get_session().get_available_regions("dynamodb")
    for _ in range(2000):
        region = generator.choice(regions)
        key_id, secret, token = (
            "".join(generator.choices(letters, k=generator.randint(1, most)))
            for most in (30, 60, 900)
        )
        given = token if generator.random() < 0.5 else None
        body = generator.randbytes(generator.randint(0, 2000))
        host = f"dynamodb.{region}.amazonaws.com{generator.choice(['', ':8000'])}"
        request = AWSRequest("POST", f"https://{host}/", data=body)
        request.headers["Content-Type"] = "application/x-amz-json-1.0"
        request.headers["X-Amz-Target"] = f"DynamoDB_20120810.{generator.choice(['Query', 'Get'])}"
        signer = botocore.auth.SigV4Auth(Credentials(key_id, secret, given), "dynamodb", region)
        signer.add_auth(request)
        headers = {name.lower(): value for name, value in request.headers.items()}
        expected = headers.pop("authorization")
        headers["host"] = host
        scope = f"{headers['x-amz-date'][:8]}/{region}/dynamodb/aws4_request"
        assert sign(headers, body, scope, key_id, secret) == expected
