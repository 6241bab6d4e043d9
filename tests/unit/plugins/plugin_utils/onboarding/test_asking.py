"""One question at a time, with a default; without a terminal the flag is named."""

from __future__ import annotations

import pytest
from ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding.asking import Asker
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.problem import StoreError


class Person:
    """Gives answers in turn and remembers the questions."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.questions: list[str] = []

    def __call__(self, question: str) -> str:
        self.questions.append(question)
        if not self.answers:
            raise EOFError
        return self.answers.pop(0)


def test_a_flag_is_never_asked_for() -> None:
    person = Person()
    assert Asker(terminal=True, ask=person).text("Its name", "web1", "--name NAME", "web7") == "web7"
    assert person.questions == []


def test_the_answer_or_the_default() -> None:
    person = Person(" web3 ", "")
    asker = Asker(terminal=True, ask=person)
    assert asker.text("Its name", "web1", "--name NAME") == "web3"
    assert asker.text("Its name", "web1", "--name NAME") == "web1"
    assert person.questions == ["Its name [web1]: "] * 2


def test_nothing_and_no_default_ends() -> None:
    with pytest.raises(StoreError, match="--name NAME"):
        Asker(terminal=True, ask=Person("", "", "")).text("Its name", "", "--name NAME")
    with pytest.raises(StoreError, match="--name NAME"):
        Asker(terminal=True, ask=Person()).text("Its name", "", "--name NAME")


def test_without_a_terminal_the_default_or_the_name_of_the_flag() -> None:
    person = Person("nobody reads this")
    asker = Asker(terminal=False, ask=person, ask_hidden=person)
    assert asker.text("Its name", "web1", "--name NAME") == "web1"
    with pytest.raises(StoreError, match="add --name NAME"):
        asker.text("Its name", "", "--name NAME")
    with pytest.raises(StoreError, match="add --password-file FILE"):
        asker.hidden("Password of root", "--password-file FILE")
    assert person.questions == []


@pytest.mark.parametrize(
    ("said", "default", "meant"),
    [
        ("", True, True),
        ("", False, False),
        ("y", True, True),
        ("n", True, False),
        ("yes", None, True),
        ("No", None, False),
    ],
)
def test_yes_or_no(said: str, default: bool | None, meant: bool) -> None:
    assert Asker(terminal=True, ask=Person(said)).yes("Go on?", default=default) is meant


def test_a_host_key_is_not_confirmed_by_a_slip() -> None:
    assert Asker(terminal=True, ask=Person("", "y", "")).yes("Are they the same?", default=None) is False


def test_a_password_is_asked_for_until_there_is_one() -> None:
    person = Person("", "the password")
    assert Asker(terminal=True, ask_hidden=person).hidden("Password of root", "--password-file FILE") == "the password"
    assert person.questions[0] == "Password of root (it is not shown): "
    with pytest.raises(StoreError):
        Asker(terminal=True, ask_hidden=Person()).hidden("Password of root", "--password-file FILE")
