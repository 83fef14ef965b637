"""Redaction: what is hidden, what is not, and that no text takes long."""

import json
import time
from typing import Any

import pytest
from django.test import override_settings
from hypothesis import example, given
from hypothesis import strategies as st

from django_jobs.conf import get_settings
from django_jobs.redact import HIDDEN, NAMES, Redactor

redactor = Redactor(NAMES)

SECRET_KEYS = (
    "password",
    "DB_PASSWORD",
    "X-Auth-Token",
    "apiKey",
    "API key",
    "max_tokens",
    "secretary",
)
PIECES = (
    *("token", "password", "api", "key", "secret", "_", "-", " ", ":", "=", "!", ">", "é", "a=1"),
    *("'", '"', '"""', "\\", "//", "@", "/", "&", "?", "\n", "\r\n", "\xa0", "(", "]", "{", ","),
    *("b", "Bearer ", "*", HIDDEN),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(PIECES),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from((*SECRET_KEYS, "id")), inner),
)


@pytest.mark.parametrize("key", SECRET_KEYS)
@pytest.mark.parametrize("secret", ["x", 5, None, ["x"], {"id": 5}])
def test_a_value_is_hidden_whatever_it_is(key: str, secret: Any) -> None:
    payload = {"order": [{key: secret, "id": 5}]}
    before = json.dumps(payload)
    assert redactor.value(payload) == {"order": [{key: HIDDEN, "id": 5}]}
    assert json.dumps(payload) == before, "the payload itself is as it was"


@pytest.mark.parametrize("key", ["id", "key", "cache_key", "author", "passengers", "tok", ""])
def test_other_values_are_shown(key: str) -> None:
    payload = {key: ["x", {key: 1.5}, None, True]}
    assert redactor.value(payload) == payload
    assert redactor.text(f"{key}='x' {key}: y") == f"{key}='x' {key}: y"


def test_strings_of_a_payload_are_texts() -> None:
    payload = ["token=a b", {"url": "redis://:c@d"}]
    assert redactor.value(payload) == [f"token={HIDDEN} b", {"url": f"redis://:{HIDDEN}@d"}]
    assert redactor.value("token=a b") == f"token={HIDDEN} b"


def test_a_payload_may_be_deeper_than_the_stack() -> None:
    payload: Any = {"password": "x"}
    for _ in range(100_000):
        payload = {"in": [payload]}
    shown = redactor.value(payload)
    for _ in range(100_000):
        shown = shown["in"][0]
    assert shown == {"password": HIDDEN}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("password=hunter2 user=ann", "password=******** user=ann"),
        ("{'token': 'it\\'s', 'id': 5}", "{'token': '********', 'id': 5}"),
        ('"secret": "a\\"b", "id": 5', '"secret": "********", "id": 5'),
        (
            '{\\"secret\\": \\"a\\\\\\"b\\", \\"id\\": 5}',
            '{\\"secret\\": \\"********\\", \\"id\\": 5}',
        ),
        ('api_token="a b" id=5', 'api_token="********" id=5'),
        ("x-api-key=b'a b', id=5", "x-api-key=b'********', id=5"),
        ('token="""a"b""" id=5', 'token="""********""" id=5'),
        ("private_key='-----BEGIN\nMII' id=5", "private_key='********' id=5"),
        ("token='cut off\nhere", "token='********"),
        ("Authorization: Bearer a\nHost: b", "Authorization: ********\nHost: b"),
        ("Cookie: a=b; c=d\r\nHost: e", "Cookie: ********\r\nHost: e"),
        ("authorization=Bearer a b", "authorization=******** b"),
        ("Wrong API key: a b", "Wrong API key: ********"),
        ("GET /?token=a&next=/b HTTP/1.1", "GET /?token=********&next=/b HTTP/1.1"),
        ("user[password]=a&id=5", "user[password]=********&id=5"),
        ("environ['TOKEN'] = 'a'", "environ['TOKEN'] = '********'"),
        ("if token != given:", "if token != ********"),
        ("DETAIL:  Key (token)=(a b) already exists.", "DETAIL:  Key (token)=********"),
        ("{'token': {'a': 'b'}}\nc", "{'token': ********\nc"),
        ("token=Token(id=5, value='a')\nb", "token=********\nb"),
        ("redis://:a@b@host:6379/0", "redis://:********@host:6379/0"),
        ("'postgres://ann:a'b@host/shop'", "'postgres://ann:********@host/shop'"),
        ("http://host:80/a@b ssh://git@host", "http://host:80/a@b ssh://git@host"),
        ("token=\nUnknown token", "token=\nUnknown token"),
    ],
)
def test_in_a_text_the_value_after_a_key_is_hidden(text: str, shown: str) -> None:
    assert redactor.text(text) == shown
    assert redactor.text(f"Line\n{text}").startswith("Line\n")


@given(JSON)
def test_no_secret_of_a_payload_is_left_in_its_text(payload: Any) -> None:
    text = redactor.text(json.dumps({"token": "5ecre7", "in": payload, "b": {"pwd": ["5ecre7"]}}))
    assert "5ecre7" not in text
    assert "5ecre7" not in redactor.text(repr(payload) + "\npassword = '5ecre7'")


@given(st.lists(st.sampled_from(PIECES), max_size=20).map("".join))
@example('//token:"a"@b')
@example('//"token":&a@b')
@example("//(token):&a@b")
@example("//user:token=a/b&c@d")
def test_a_text_that_is_redacted_stays_as_it_is(text: str) -> None:
    once = redactor.text(text)
    assert redactor.text(once) == once


@given(JSON)
def test_a_payload_that_is_redacted_stays_as_it_is(payload: Any) -> None:
    once = redactor.value(payload)
    assert redactor.value(once) == once


@pytest.mark.parametrize(
    "piece",
    [*PIECES, "p_", "s ", "api ", "//a:", "//a:@", "token='", "token=)", "token \t", "p_a-s.s w_"],
)
def test_no_text_takes_long(piece: str) -> None:
    text = piece * (262_144 // len(piece))
    started = time.perf_counter()
    redactor.text(text)
    assert time.perf_counter() - started < 3, "what is quadratic takes longer"


def test_the_setting_names_what_is_hidden() -> None:
    text, payload = "token=a iban=b //c:d@e", {"Token": "a", "IBAN": "b"}
    assert get_settings().redactor.text(text) == "token=******** iban=b //c:********@e"
    with override_settings(JOBS={"REDACT": ["i-ban"]}):
        assert get_settings().redactor.text(text) == "token=a iban=******** //c:********@e"
        assert get_settings().redactor.value(payload) == {"Token": "a", "IBAN": HIDDEN}
    with override_settings(JOBS={"REDACT": []}):
        assert get_settings().redactor.text(text) == text
        assert get_settings().redactor.value(payload) == payload
