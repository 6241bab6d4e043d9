"""Building images from real git repositories, with a docker client that only remembers."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import CommandResult, run_command
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.engine import Engine, EngineError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.image_build import Builder, BuildError, Result
from fakes.docker_host import DockerHost

REGISTRY = "registry.example.com:5000/demo"
CONTEXTS = {"web": "agents/web", "db": "."}
IDENTITY = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"]


def git(folder: Path, *words: str) -> str:
    return subprocess.run(
        ["git", *IDENTITY, *words], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with two commits, a tag and an annotated one."""
    folder = tmp_path_factory.mktemp("origin")
    git(folder, "init", "--quiet")
    (folder / "agents/web").mkdir(parents=True)
    (folder / "Dockerfile").write_text("FROM scratch\n")
    (folder / "agents/web/Dockerfile").write_text("FROM scratch\n")
    (folder / "agents/web/app.py").write_text("1\n")
    (folder / "agents/outside").symlink_to("/etc")
    (folder / "agents/trick").mkdir()
    (folder / "agents/trick/Dockerfile").symlink_to("/etc/passwd")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "one")
    git(folder, "tag", "v1")
    git(folder, "tag", "--annotate", "v1-signed", "--message", "x")
    git(folder, "branch", "feature/main")
    (folder / "agents/web/app.py").write_text("2\n")
    git(folder, "commit", "--quiet", "--all", "--message", "two")
    return folder


def commit_of(origin: Path, ref: str) -> str:
    return git(origin, "rev-parse", f"{ref}^{{commit}}")


class Docker:
    """Runs git for real; of `docker build` it remembers what was in the context, of `push` that it was done."""

    def __init__(self, host: DockerHost) -> None:
        self.host = host
        self.commands: list[list[str]] = []
        self.environments: list[Mapping[str, str]] = []
        self.built: dict[str, dict[str, str]] = {}
        self.answers: dict[str, CommandResult] = {}

    def __call__(
        self, argv: Sequence[str], *, timeout: float, environment: Mapping[str, str] | None = None
    ) -> CommandResult:
        words = list(argv)
        self.commands.append(words)
        self.environments.append(environment or {})
        verb = words[0] if words[0] == "git" else words[1]
        if verb in self.answers:
            return self.answers[verb]
        if verb == "git":
            return run_command(words, timeout=timeout, environment=environment)
        if verb == "build":
            tag = words[words.index("--tag") + 1]
            context = Path(words[-1])
            self.built[tag] = {
                path.name: path.read_text() for path in context.iterdir() if path.is_file() and not path.is_symlink()
            }
            self.host.keep_image(tag)
        if verb == "push":
            self.host.images[words[-1]]["RepoDigests"].append(f"{words[-1].rpartition(':')[0]}@sha256:00")
        return CommandResult(0)

    def words(self, verb: str) -> list[list[str]]:
        return [words for words in self.commands if words[1] == verb]


@pytest.fixture
def host() -> Iterator[DockerHost]:
    made = DockerHost()
    made.serve()
    yield made
    made.remove()


@pytest.fixture
def docker(host: DockerHost) -> Docker:
    return Docker(host)


@pytest.fixture
def make(tmp_path: Path, origin: Path, docker: Docker) -> Any:
    def builder(ref: str = "main", repository: str = "", cache: Path | None = None) -> Builder:
        engine = Engine(str(docker.host.socket))
        return Builder(repository or str(origin), ref, cache or tmp_path / "cache", engine, docker)

    return builder


def build(builder: Builder, **options: Any) -> Result:
    contexts = options.pop("contexts", CONTEXTS)
    return builder.build(contexts, REGISTRY, **({"push": False, "arguments": {}} | options))


# ---- refs -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ref", "means"),
    [
        ("main", "main"),
        ("v1", "v1"),
        ("v1-signed", "v1"),
        ("refs/heads/main", "main"),
        ("refs/tags/v1-signed", "v1"),
        ("feature/main", "v1"),
        ("HEAD", "main"),
    ],
)
def test_a_ref_becomes_its_commit(make: Any, origin: Path, ref: str, means: str) -> None:
    assert make(ref).resolve() == commit_of(origin, means)


def test_a_branch_wins_over_a_tag_of_that_name(make: Any, origin: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(origin), str(clone))
    git(clone, "tag", "main", "v1")
    assert make("main", str(clone)).resolve() == commit_of(origin, "main")


def test_a_commit_is_taken_as_it_is(make: Any, docker: Docker) -> None:
    assert make("AB" * 20).resolve() == "ab" * 20
    assert docker.commands == []


@pytest.mark.parametrize("ref", ["nothing", "4659b9e", "v2"])
def test_a_ref_that_does_not_exist(make: Any, origin: Path, ref: str) -> None:
    with pytest.raises(BuildError, match=rf"{origin} has no branch or tag '{ref}'. Fix: correct stack_build.ref"):
        make(ref).resolve()


@pytest.mark.parametrize("ref", ["", " ", "--upload-pack=touch /tmp/x", "a b", "a\nb"])
def test_a_ref_that_is_none(make: Any, docker: Docker, ref: str) -> None:
    with pytest.raises(BuildError, match=r"Fix: correct stack_build\.ref"):
        make(ref).resolve()
    with pytest.raises(BuildError, match=r"Fix: correct stack_build\.repository"):
        make("main", ref or " ").resolve()
    assert docker.commands == []


def test_a_repository_that_cannot_be_read(make: Any, tmp_path: Path) -> None:
    with pytest.raises(BuildError) as caught:
        make("main", str(tmp_path / "none")).resolve()
    assert f"The repository {tmp_path}/none cannot be read: fatal: " in str(caught.value)
    assert "Fix: check stack_build.repository" in str(caught.value)


def test_no_git(make: Any, docker: Docker) -> None:
    docker.answers["git"] = CommandResult(127, "", "git: command not found")
    with pytest.raises(BuildError, match=r"git is not installed on this machine\. Fix: apt-get install git"):
        make().resolve()


# ---- building ---------------------------------------------------------------------------------------------------


def test_images_are_tagged_with_the_commit(make: Any, origin: Path, docker: Docker) -> None:
    commit = commit_of(origin, "main")
    result = build(make(), arguments={"B": "2", "A": "x y"})
    web, db = f"{REGISTRY}/web:{commit[:12]}", f"{REGISTRY}/db:{commit[:12]}"
    assert result == Result(commit[:12], commit, {db: "built", web: "built"}, [])
    assert result.changed
    assert docker.built[web] == {"Dockerfile": "FROM scratch\n", "app.py": "2\n"}
    words = docker.words("build")[0]
    assert words[words.index("--label") + 1] == f"org.opencontainers.image.revision={commit}"
    assert words[words.index("--build-arg") : -1] == ["--build-arg", "A=x y", "--build-arg", "B=2"]


def test_the_second_time_nothing_is_done(make: Any, docker: Docker, tmp_path: Path) -> None:
    build(make())
    docker.commands.clear()
    result = build(make())
    assert (set(result.images.values()), result.changed) == ({"present"}, False)
    assert [words[1] for words in docker.commands] == ["ls-remote"]
    assert sorted(path.name for path in (tmp_path / "cache").iterdir() if path.suffix != ".git") == ["lock"]


def test_only_what_is_missing_is_built(make: Any, docker: Docker, host: DockerHost) -> None:
    first = build(make())
    host.images.pop(next(tag for tag in first.images if "/web:" in tag))
    second = build(make())
    assert sorted(second.images.values()) == ["built", "present"]
    assert len(docker.words("build")) == 3


def test_an_older_commit(make: Any, origin: Path, docker: Docker) -> None:
    result = build(make(commit_of(origin, "v1")))
    assert docker.built[next(tag for tag in result.images if "/web:" in tag)]["app.py"] == "1\n"


def test_a_commit_that_no_ref_names(make: Any, origin: Path, docker: Docker, tmp_path: Path) -> None:
    """A server may refuse to hand out single commits; then all of the repository is taken."""
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(origin), str(clone))
    real = docker.__call__

    def refuse(words: Sequence[str], **options: Any) -> CommandResult:
        if "--depth" in words:
            return CommandResult(128, "", "error: Server does not allow request for unadvertised object")
        return real(words, **options)

    builder = make(commit_of(origin, "v1"), str(clone))
    builder.run = refuse
    assert build(builder).changed


def test_a_commit_that_does_not_exist(make: Any, origin: Path) -> None:
    with pytest.raises(BuildError, match=rf"{origin} has no commit {'ab' * 20}. Fix: correct stack_build.ref"):
        build(make("ab" * 20))


@pytest.mark.parametrize("damage", ["empty", "file", "half", "locked"])
def test_a_cache_that_a_crash_left_unusable(make: Any, damage: str) -> None:
    builder = make()
    folder = builder.source.folder
    folder.parent.mkdir(parents=True)
    if damage == "file":
        folder.write_text("x")
    else:
        folder.mkdir()
    if damage == "half":
        (folder / "HEAD").write_text("ref: refs/heads/x\n")
        (folder / "objects").write_text("no folder")
    if damage == "locked":
        git(folder, "init", "--quiet", "--bare", ".")
        (folder / "shallow.lock").write_text("")
    assert build(builder).changed


def test_what_a_killed_build_left_is_swept(make: Any, tmp_path: Path) -> None:
    left = tmp_path / "cache" / "build-old"
    left.mkdir(parents=True)
    (left / "file").write_text("x")
    build(make())
    assert not left.exists()


def test_a_branch_that_moves_between_asking_and_fetching(make: Any, origin: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(origin), str(clone))
    builder = make("main", str(clone))
    commit = builder.resolve()
    (clone / "new").write_text("x")
    git(clone, "add", "new")
    git(clone, "commit", "--quiet", "--message", "three")
    builder.fetch(commit)
    builder.source.unpack(commit, tmp_path / "tree")
    assert not (tmp_path / "tree/new").exists()
    assert (tmp_path / "tree/agents/outside").is_symlink()


@pytest.mark.parametrize(
    "context", ["agents/none", "agents/outside", "../..", "/etc", "agents/trick", "agents/web/app.py"]
)
def test_no_dockerfile_there(make: Any, docker: Docker, context: str) -> None:
    with pytest.raises(BuildError) as caught:
        build(make(), contexts={"db": ".", "web": context})
    assert f"at main has no {context}/Dockerfile. Nothing was built. Fix: correct stack_build_contexts.web" in str(
        caught.value
    )
    assert docker.words("build") == []


def test_a_build_that_fails(make: Any, docker: Docker) -> None:
    docker.answers["build"] = CommandResult(1, "", "\n".join(f"line {n}" for n in range(30)))
    with pytest.raises(BuildError) as caught:
        build(make())
    text = str(caught.value)
    assert text.startswith("The image of db cannot be built: line 29. Fix: mend what it names in the repository")
    assert "line 29" in text
    assert "line 17" not in text


def test_no_docker_client(make: Any, docker: Docker) -> None:
    docker.answers["build"] = CommandResult(127, "", "docker: command not found")
    with pytest.raises(BuildError, match="Fix: install the docker client"):
        build(make())


def test_no_engine(make: Any, host: DockerHost) -> None:
    host.stop()
    with pytest.raises(EngineError, match="Fix: systemctl start docker"):
        build(make())
    assert set(build(make(), check=True).images.values()) == {"would be built"}


def test_a_cache_that_cannot_be_made(make: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BuildError, match=r"cannot be used to build in: .*Fix: run as root"):
        build(make(cache=tmp_path / "file" / "cache"))


def test_check_mode_writes_nothing(make: Any, docker: Docker, tmp_path: Path) -> None:
    result = build(make(), check=True, push=True)
    assert set(result.images.values()) == {"would be built"}
    assert result.changed
    assert not (tmp_path / "cache").exists()
    assert [words[1] for words in docker.commands] == ["ls-remote"]


# ---- pushing ----------------------------------------------------------------------------------------------------


def test_what_is_built_is_pushed_once(make: Any, docker: Docker) -> None:
    first = build(make(), push=True)
    assert first.pushed == sorted(first.images)
    second = build(make(), push=True)
    assert (second.pushed, second.changed) == ([], False)
    assert len(docker.words("push")) == 2


def test_a_push_that_was_cut_off_is_made_up_for(make: Any, docker: Docker) -> None:
    """The image is there, so it is not built again; but no other host could pull it."""
    docker.answers["push"] = CommandResult(1, "", "connection reset")
    with pytest.raises(BuildError, match=r"cannot be pushed: connection reset\. Fix: check stack_registry"):
        build(make(), push=True)
    del docker.answers["push"]
    assert build(make(), push=True, check=True).changed
    result = build(make(), push=True)
    assert set(result.images.values()) == {"present"}
    assert result.pushed == sorted(result.images)
    assert result.changed


# ---- two at once ------------------------------------------------------------------------------------------------


def test_two_hosts_build_on_one_controller(make: Any, docker: Docker) -> None:
    """Each play delegates the same build to the same machine at the same time: it is done once."""
    results: list[Result] = []
    threads = [threading.Thread(target=lambda: results.append(build(make()))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(docker.words("build")) == 2
    assert sorted(result.changed for result in results) == [False, False, True]


# ---- logins -----------------------------------------------------------------------------------------------------

TOKEN = "to%40ken-5ecret"


@pytest.mark.parametrize("login", [f"user:{TOKEN}", TOKEN, f":{TOKEN}"])
def test_a_login_in_the_address_is_never_shown(make: Any, docker: Docker, login: str) -> None:
    docker.answers["git"] = CommandResult(128, "", f"fatal: unable to access 'https://{login}@127.0.0.1:9/x/'")
    with pytest.raises(BuildError) as caught:
        make("main", f"https://{login}@127.0.0.1:9/x").resolve()
    assert "https://127.0.0.1:9/x" in str(caught.value)
    assert "5ecret" not in str(caught.value) + str(docker.commands)
    # Git gets it by its environment, which only root can read.
    assert f"https://{login}@" in str(docker.environments[0])


def test_git_puts_the_login_in(make: Any, docker: Docker) -> None:
    """The real git, asked what it makes of an address; nothing is sent."""
    builder = make("main", f"https://user:{TOKEN}@127.0.0.1:9/x")
    docker.answers["git"] = CommandResult(1)
    with pytest.raises(BuildError):
        builder.resolve()
    done = run_command(
        ["git", "ls-remote", "--get-url", builder.source.shown], timeout=10, environment=docker.environments[0]
    )
    assert done.stdout.strip() == f"https://user:{TOKEN}@127.0.0.1:9/x"


@pytest.mark.parametrize(
    "address",
    ["ssh://git@example.com/x", "git@example.com:x.git", "https://example.com/x@y", "/srv/git/x", "file:///x"],
)
def test_an_address_without_a_secret_is_shown_as_it_is(make: Any, address: str) -> None:
    source = make("main", address).source
    assert (source.shown, source.secrets) == (address, [])
