"""Which packages are found in the files of an image, and which tars are refused."""

from __future__ import annotations

import io
import tarfile

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit import image_content
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.image_content import (
    ContentError,
    normal_name,
    packages_in,
)
from fakes.image_contents import SITE, installed, make_tar
from hypothesis import given, settings
from hypothesis import strategies as st

Files = dict[str, bytes | str | None]


def found_in(files: Files) -> list[tuple[str, str]]:
    return [(package.name, package.version) for package in packages_in(io.BytesIO(make_tar(files)))]


@pytest.mark.parametrize("name", ["python-jose", "Python_Jose", "python.jose", "PYTHON--JOSE", " python-_.jose "])
def test_normal_names(name: str) -> None:
    assert normal_name(name) == "python-jose"


def test_an_image_without_python() -> None:
    assert found_in({}) == []
    assert found_in({"bin": None, "bin/sh": b"\x7fELF", "etc/METADATA": "Name: x\n", "METADATA": "Name: y\n"}) == []


def test_packages_of_several_pythons_and_environments() -> None:
    files: Files = {
        **installed("Python_Jose", "3.3.0"),
        **installed("fastapi", "0.115.0"),
        **installed("PyJWT", "2.9.0", "opt/venv/lib/python3.12/site-packages"),
        **installed("fastapi", "0.115.0", "opt/venv/lib/python3.12/site-packages"),
        **installed("fastapi", "0.90.0", "root/.venv/lib/site-packages"),
    }
    assert found_in(files) == [
        ("fastapi", "0.115.0"),
        ("fastapi", "0.90.0"),
        ("pyjwt", "2.9.0"),
        ("python-jose", "3.3.0"),
    ]
    assert f"/{SITE}/Python_Jose-3.3.0.dist-info" in {p.path for p in packages_in(io.BytesIO(make_tar(files)))}


@pytest.mark.parametrize(
    ("files", "found"),
    [
        # The forms of setuptools, of Debian's packages, and of eggs.
        ({"a/six.egg-info": None, "a/six.egg-info/PKG-INFO": "Name: six\nVersion: 1.16.0\n"}, ("six", "1.16.0")),
        ({"a/six-1.16.0.egg-info": "Name: six\nVersion: 1.16.0\n"}, ("six", "1.16.0")),
        ({"a/six-1.1-py3.11.egg/EGG-INFO/PKG-INFO": "Name: six\nVersion: 1.1\n"}, ("six", "1.1")),
        # Text that Windows wrote, in another case, with a mark at its beginning, or not in UTF-8.
        ({"a/x.dist-info/METADATA": "\ufeffNAME: six\r\nversion:1.0\r\n\r\nName: no\r\n"}, ("six", "1.0")),
        ({"a/x.dist-info/METADATA": b"Author: \xff\nName: six\nVersion: 1\n"}, ("six", "1")),
        # A record that tells nothing: the name of its folder does.
        ({"a/python_jose-3.3.0.dist-info/METADATA": ""}, ("python-jose", "3.3.0")),
        ({"a/python_jose-3.3.0.dist-info/METADATA": b"\0\xff" * 50}, ("python-jose", "3.3.0")),
        ({"a/python_jose-3.3.0.dist-info": None}, ("python-jose", "3.3.0")),
        ({"a/python_jose-3.3.0-py3.9.egg-info": None}, ("python-jose", "3.3.0")),
        ({"a/x-1.dist-info/METADATA": "Name: <script>\nVersion: \x1b[31m\n"}, ("x", "1")),
        ({"a/x-1.dist-info/METADATA": "Name: six\n"}, ("six", "1")),
        ({"a/x.dist-info/METADATA": "Name: six\n"}, ("six", "")),
        # uv links records to its cache.
        (
            {"c/aa/METADATA": "Name: no\n", "a/python_jose-3.dist-info/METADATA": "->c/aa/METADATA"},
            ("python-jose", "3"),
        ),
        # As tar may write the root.
        ({"./a/six-1.dist-info/METADATA": "Name: six\nVersion: 1\n"}, ("six", "1")),
    ],
)
def test_forms_of_records(files: Files, found: tuple[str, str]) -> None:
    assert found_in(files) == [found]


@pytest.mark.parametrize("name", ["a/.dist-info/METADATA", "a/-1.dist-info/METADATA", "a/\x1b-1.dist-info"])
def test_a_record_that_names_nothing(name: str) -> None:
    assert found_in({name: "x: y\n"}) == []


def test_a_link_to_a_record_is_the_same_package_once() -> None:
    files = installed("six", "1.0")
    files["b/six-1.0.dist-info/METADATA"] = f"->{SITE}/six-1.0.dist-info/METADATA"
    assert found_in(files) == [("six", "1.0")]


# ---- bounds -----------------------------------------------------------------------------------------------------


def test_of_a_record_only_the_beginning_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_content, "RECORD_BYTES", 1000)
    long = "Name: six\nVersion: 1\nDescription: " + "x" * 100_000
    assert found_in({"a/x-2.dist-info/METADATA": long}) == [("six", "1")]
    assert found_in({"a/x-2.dist-info/METADATA": "A: " + "x" * 2000 + "\nName: six\n"}) == [("x", "2")]


def test_too_many_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_content, "MOST_PACKAGES", 3)
    three: Files = {f"a/p{number}-1.dist-info": None for number in range(3)}
    assert len(found_in(three)) == 3
    with pytest.raises(ContentError, match="more than 3 Python packages"):
        found_in({**three, "a/p3-1.dist-info": None})


# ---- a tar that is not whole ------------------------------------------------------------------------------------

WHOLE = make_tar({**installed("six", "1.0"), "zeros": b"\0" * 4096, **installed("python-jose", "3.3.0")})


@pytest.mark.parametrize("cut", [*range(0, len(WHOLE), 512), 1, 700, 1300, len(WHOLE) - 1])
def test_a_tar_that_ends_early_is_never_a_pass(cut: int) -> None:
    """Python writes 20 blocks at a time, so that zeros follow; all up to the first of them but one has to be there."""
    end = len(WHOLE.rstrip(b"\0"))
    end += -end % 512
    if cut >= end + 1024:
        assert len(packages_in(io.BytesIO(WHOLE[:cut]))) == 2
        return
    with pytest.raises(ContentError, match=r"damaged or cut off|ends too early"):
        packages_in(io.BytesIO(WHOLE[:cut]))


def test_rubbish_in_the_middle_is_never_a_pass() -> None:
    with tarfile.open(fileobj=io.BytesIO(WHOLE)) as tar:
        offsets = [member.offset for member in tar.getmembers()]
    for offset in offsets:
        damaged = WHOLE[:offset] + b"\x01" * 512 + WHOLE[offset + 512 :]
        with pytest.raises(ContentError):
            packages_in(io.BytesIO(damaged))


@settings(max_examples=60, deadline=None)
# Zeros alone are a tar without files.
@given(st.binary(max_size=3000).filter(lambda data: not data or data.strip(b"\0")))
def test_what_is_no_tar(data: bytes) -> None:
    with pytest.raises(ContentError):
        packages_in(io.BytesIO(data))


def test_a_stream_that_breaks() -> None:
    class Broken(io.RawIOBase):
        def read(self, size: int = -1, /) -> bytes:
            raise OSError("gone")

    with pytest.raises(ContentError, match="gone"):
        packages_in(Broken())  # type: ignore[arg-type]
