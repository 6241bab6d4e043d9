# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Words that are known to everybody: placeholders, vendor defaults, common passwords, names, the project's own.

Each word has a cost in bits: how much a guesser has to try until this word is among the tries.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Collection, Iterable
from typing import Any

estimate: Any = None
FREQUENCY_LISTS: Any = {}
try:
    import zxcvbn  # type: ignore[import-untyped, import-not-found, unused-ignore]
    import zxcvbn.frequency_lists  # type: ignore[import-untyped, import-not-found, unused-ignore]
except ImportError:  # Then the judge says so.
    pass
else:
    estimate, FREQUENCY_LISTS = zxcvbn.zxcvbn, zxcvbn.frequency_lists.FREQUENCY_LISTS

INSTALLED = estimate is not None

# They say outright that a value is still to come, or that it is none for real use.
PLACEHOLDERS = frozenset(
    """
    absent aendern asdf bar baz blank bogus cambiar change changeit changeme changethis changez contrasena demo
    dummy edit empty enter example examplekey fake fill fixme foo foobar geheim generate goes haslo here insecure
    insert invalid ipsum lorem me missing mock modify motdepasse must my none notasecret notset null parola
    passwort placeholder please pleasechange provide put redacted remplacer replace replaced replaceme replacethis
    sample senha set somerandomstring something string stub tbd temp temporary test tester testing testkey this
    todo undefined unsafe unset update value wachtwoord пароль секрет секретный ключ 密码 密碼
    xxx xxxx your your_key yours
    """.split()
)
# Defaults of vendors, and what people call a secret when they think of none.
DEFAULTS = frozenset(
    """
    access account admin adminadmin administrator ant api apikey app application auth backup bits cassandra
    character characters chars client cluster couchdb credential credentials database db default dev develop
    developer development django docker elastic elasticsearch encrypt encryption flask grafana guest hello hex
    hooks http https influxdb jwt key keys kibana laravel least length letmein local localhost login long master
    memory minimum minio minioadmin mongo mongodb mysql neo4j openssl oracle output pass passphrase passwd
    password pg phrase pk postgres postgresql prod production proj prometheus pwd qwerty rabbitmq rand random
    redis root salt secret secretkey secrets secure security server service services session shared sign signing
    sk staging strong sudo super supersecret superuser system token tokens toor user username very webhooks
    welcome wordpress world
    """.split()
)
PROJECT = frozenset(
    """
    agent agents anthropic architect backend celery claude code core crew devops discord engineer frontend hyper
    hypercode jaeger ollama openai orchestrator project qa slack specialist strategist webhook worker
    """.split()
)
# Words that hold a sentence together. Nobody draws them at random.
_JOINING = frozenset(
    """
    about after all and any are because been before but can could did does don for from had has have her him his
    how into its just more most never not now off one only our out over she should some than that the their them
    then there these they those under until use very was were what when where which who why will with would you
    """.split()
)
SHORT = frozenset("a i am an as at be by ci do go he if in is it me my no of on or so to up us we".split())
# Phrases that are famous as examples.
_PHRASES = (
    "correct horse battery staple",
    "correcthorsebatterystaple",
    "thisisnotasecret",
    "opensesame",
    "thequickbrownfoxjumpsoverthelazydog",
    "the quick brown fox jumps over the lazy dog",
    "loremipsumdolorsitamet",
    "maytheforcebewithyou",
    "tobeornottobe",
    "to be or not to be",
)
_OWN_BITS = 9.0
_JOINING_BITS = 5.0
_SHORTEST_COMMON = 3
_COMMON_RANK = 1500
_PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")
# Longer names are no names of services; a bound keeps the search for words short.
LONGEST = 50
PREFIX = 3
# Hardly a random text goes on as a longer word does.
LONGER = 4


class Vocabulary:
    """Words with their costs in bits; ``starts`` are the first letters of every word, for a quick no.

    ``longer`` are the first letters of every word that has more of them than ``LONGER``.
    """

    def __init__(self, costs: dict[str, float]) -> None:
        self.costs = costs
        self.starts = frozenset(word[:PREFIX] for word in costs)
        self.longer = frozenset(word[:LONGER] for word in costs if len(word) > LONGER)
        self.longest = max(map(len, costs), default=0)


@functools.cache
def common() -> Vocabulary:
    """Words of the world: zxcvbn's lists of passwords, names and everyday words, and the lists above."""
    costs: dict[str, float] = {}
    for text in FREQUENCY_LISTS.values():
        for rank, word in enumerate(text.split(",") if isinstance(text, str) else text, start=1):
            if len(word) < _SHORTEST_COMMON or (len(word) == _SHORTEST_COMMON and rank > _COMMON_RANK):
                continue
            if len(word) <= LONGEST:
                costs[word] = min(costs.get(word, math.inf), math.log2(rank + 16) + 5)
    phrases = (spelt for phrase in _PHRASES for spelt in (phrase, phrase.replace(" ", "-"), phrase.replace(" ", "_")))
    for word in (*PLACEHOLDERS, *DEFAULTS, *PROJECT, *phrases):
        if len(word) >= _SHORTEST_COMMON:
            costs[word] = _OWN_BITS
            costs.setdefault(word[::-1], _OWN_BITS + 1)
    costs.update(dict.fromkeys(_JOINING, _JOINING_BITS))
    return Vocabulary(costs)


def parts(name: str) -> list[str]:
    """The words in a name, in lower case: ``POSTGRES_PASSWORD`` gives postgres and password."""
    return [part.lower() for part in _PART.findall(name[:200])]


def most_common() -> list[str]:
    """The words that are tried first: common passwords and the lists above."""
    passwords = FREQUENCY_LISTS["passwords"]
    first = passwords.split(",") if isinstance(passwords, str) else passwords
    return [*first[:3000], *sorted(PLACEHOLDERS | DEFAULTS | PROJECT)]


def own_words(name: str, words: Collection[str]) -> frozenset[str]:
    """The words that belong to one secret: its name, the parts of it, and the project's words with their parts."""
    return frozenset(_spelt([name])) | _project_words(tuple(sorted({word for word in words if isinstance(word, str)})))


@functools.lru_cache(maxsize=16)
def _project_words(words: tuple[str, ...]) -> frozenset[str]:
    return frozenset(_spelt(words))


def _spelt(names: Iterable[str]) -> Iterable[str]:
    for name in names:
        pieces = parts(name)
        for word in (name.lower(), "".join(pieces), *pieces):
            if _SHORTEST_COMMON <= len(word) <= LONGEST:
                yield word


@functools.lru_cache(maxsize=512)
def own_vocabulary(words: frozenset[str]) -> Vocabulary:
    """The same words with their costs."""
    return Vocabulary(dict.fromkeys(words, _OWN_BITS))


def joins(word: str) -> bool:
    """Whether a word holds a sentence together."""
    return word in _JOINING


def is_free(word: str) -> bool:
    """Whether a word adds nothing: a placeholder, or a word that only holds a sentence together."""
    return word in _JOINING or is_placeholder(word)


def is_placeholder(word: str) -> bool:
    """Whether a word, forwards or backwards, is one of the lists above."""
    said = re.sub(r"[-_]", " ", word)
    return said in _PHRASES or any(spelt in PLACEHOLDERS or spelt in DEFAULTS for spelt in (word, word[::-1]))
