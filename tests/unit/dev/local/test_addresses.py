"""Which requests are for this machine."""

from email.message import Message

import pytest

from dev.local.addresses import address_of

OURS = ["127.0.0.1", "127.0.0.1:3000", "localhost", "LOCALHOST:1", "[::1]", "[::1]:65535", "[::1]:"]
FOREIGN = [
    *("evil.example", "evil.example:3000", "localhost.evil.example", "127.0.0.1.evil.example"),
    *("evil.localhost", "xlocalhost", "localhost.", "127.0.0.2", "10.0.0.1", "127.1", "2130706433"),
    *("::1", "[::]", "[::1%1]", "[::ffff:127.0.0.1]", "", ":3000", "localhost:x", "localhost:1:2"),
    *("user@127.0.0.1", "127.0.0.1@evil.example", "localhost,evil.example", "localhost evil"),
    *("localhost#", "localhost\\evil", "loc\u0430lhost", "127.0.0.1:٣"),
]


def found(target: str, *hosts: str) -> tuple[str, str] | None:
    headers = Message()
    for host in hosts:
        headers["Host"] = host
    return address_of(target, headers)


@pytest.mark.parametrize("host", OURS)
def test_a_name_of_this_machine_is_served_with_any_port(host: str) -> None:
    assert found("/a?b", host) == (host, "/a?b")
    assert found(f"http://{host}/a?b", host) == (host, "/a?b")
    assert found(f"HTTPS://{host}/a?b") == (host, "/a?b")


@pytest.mark.parametrize("host", FOREIGN)
def test_any_other_name_is_refused_wherever_it_stands(host: str) -> None:
    assert found("/", host) is None
    assert found(f"http://{host}/", "localhost") is None
    assert found("http://localhost/", host) is None


def test_a_host_may_be_missing_but_not_given_twice() -> None:
    assert found("/") == ("", "/")
    assert found("/", "localhost", "localhost") is None
    assert found("http://localhost/", "localhost", "evil.example") is None


def test_of_an_absolute_target_the_authority_counts() -> None:
    assert found("http://localhost:1/a", "127.0.0.1:3000") == ("localhost:1", "/a")
    assert found("http://localhost:1", "127.0.0.1:3000") == ("localhost:1", "/")
    assert found("http://localhost?a=/b", "127.0.0.1:3000") == ("localhost", "/?a=/b")
    assert found("ftp://evil.example/", "localhost") is None
    assert found("/?a=http://evil.example/", "localhost") == (
        "localhost",
        "/?a=http://evil.example/",
    )
