"""The Compose file: it parses, it says what the product knows, and it keeps its secrets."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import click
import pytest

from core.settings import OTHER, table
from hematovision.cli import main

SECRETS = ("POSTGRES_PASSWORD", "REDIS_PASSWORD", "HEMATOVISION_SECRET_KEY")
OWN = {"migrate", "web", "worker-cpu", "worker-gpu", "sweep"}


def _command() -> list[str]:
    """Return what checks a Compose file here, or skip."""
    if program := shutil.which("docker-compose"):
        return [program]
    docker = shutil.which("docker")
    if (
        docker
        and not subprocess.run([docker, "compose", "version"], capture_output=True).returncode
    ):
        return [docker, "compose"]
    pytest.skip("neither docker-compose nor docker compose is installed")


def _config(root: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Let Compose read the file with these variables and, for its .env, an empty file."""
    environment = {key: value for key, value in os.environ.items() if key not in SECRETS}
    with tempfile.NamedTemporaryFile() as empty:
        return subprocess.run(
            [
                *_command(),
                "--env-file",
                empty.name,
                "-f",
                str(root / "docker-compose.yml"),
                "config",
            ],
            capture_output=True,
            text=True,
            env=environment | variables,
            check=False,
        )


def yaml_services(text: str) -> dict[str, str]:
    """Return the services of what Compose printed, each with its lines."""
    inside = text.split("\nservices:\n")[1].split("\nvolumes:\n")[0]
    parts = re.split(r"^  ([a-z-]+):\n", inside, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_compose_reads_the_file(root: Path) -> None:
    secrets = {
        "POSTGRES_PASSWORD": "one",
        "REDIS_PASSWORD": "two",
        "HEMATOVISION_SECRET_KEY": "three",
    }
    done = _config(root, **secrets)
    assert done.returncode == 0, done.stderr
    assert "postgresql+psycopg://hematovision:one@postgres:5432/hematovision" in done.stdout
    assert "redis://:two@redis:6379/0" in done.stdout


@pytest.mark.parametrize("missing", SECRETS)
def test_without_its_secrets_it_does_not_start_and_says_what_to_do(
    missing: str, root: Path
) -> None:
    done = _config(root, **{name: "given" for name in SECRETS if name != missing})
    assert done.returncode != 0
    assert f"Set {missing} in .env" in done.stderr


def test_no_secret_has_a_default(compose: str, root: Path) -> None:
    for secret in SECRETS:
        uses = re.findall(r"\$\{?" + secret + r"\b([^}]*)", compose)
        assert uses
        assert all(use.startswith(":?") for use in uses)
        assert f"\n{secret}=\n" in (root / ".env.example").read_text()


@pytest.mark.parametrize("name", ["docker-compose.yml", "Dockerfile", ".env.example"])
def test_every_variable_is_a_setting(name: str, root: Path) -> None:
    settings = {row.variable for row in table()} | OTHER
    used = set(re.findall(r"\bHEMATOVISION_[A-Z_]+", (root / name).read_text()))
    assert used
    assert used <= settings


def test_what_compose_takes_from_outside_is_in_the_example(compose: str, root: Path) -> None:
    asked = set(re.findall(r"\$\{([A-Z_]+)", compose))
    offered = set(re.findall(r"^#?([A-Z_]+)=", (root / ".env.example").read_text(), re.MULTILINE))
    assert asked == offered


def test_every_default_of_the_compose_file_is_the_settings_own(compose: str) -> None:
    own = {row.variable: row.default.lower() for row in table()}
    defaults = dict(re.findall(r"\$\{(HEMATOVISION_[A-Z_]+):-([^}]*)\}", compose))
    assert defaults
    assert {name: value.lower() for name, value in defaults.items()} == {
        n: own[n] for n in defaults
    }


def test_every_command_is_one_of_the_command_line(services: dict[str, str]) -> None:
    ran = set()
    for name in OWN:
        [words] = re.findall(r"^    command: \[hematovision, (.*)\]$", services[name], re.MULTILINE)
        command: click.Command = main
        for word in words.split(", "):
            assert isinstance(command, click.Group)
            inner = command.get_command(click.Context(command), word)
            assert inner is not None, f"{name}: there is no command {words}"
            command = inner
        ran.add(words)
    assert ran == {"db, upgrade", "web", "worker", "sweep"}


def test_every_image_is_a_target_of_the_dockerfile(
    services: dict[str, str], dockerfile: str
) -> None:
    targets = re.findall(r"^FROM \S+ AS (\S+)$", dockerfile, re.MULTILINE)
    for name in OWN:
        [target] = re.findall(r"build: \{ context: \., target: ([a-z-]+) \}", services[name])
        assert target in targets
        assert f"image: hematovision-{target}" in services[name]


def test_the_web_alone_is_reached_from_outside(services: dict[str, str], compose: str) -> None:
    assert [name for name, text in services.items() if "ports:" in text] == ["web"]
    assert [name for name, text in services.items() if "front" in text] == ["web"]
    assert 'ports: ["${PUBLISH:-127.0.0.1:8000}:8000"]' in services["web"]
    assert "HEMATOVISION_HOST: 0.0.0.0" in services["web"]
    assert 'HEMATOVISION_PORT: "8000"' in services["web"]
    assert "back: { internal: true }" in compose


def test_web_and_workers_share_the_images(services: dict[str, str], compose: str) -> None:
    shared = '"blobs:/data/blobs"'
    assert shared in services["migrate"], "It gives the store its mark."
    assert shared in services["web"]
    assert shared in compose.split("x-worker:")[1].split("\nservices:")[0]
    assert "HEMATOVISION_BLOB_ROOT: /data/blobs" in compose


def test_the_queue_forgets_nothing_and_refuses_when_full(services: dict[str, str]) -> None:
    command = services["redis"].replace('"', "")
    for option in ("--appendonly, yes", "--appendfsync, everysec", "policy, noeviction"):
        assert option in command


def test_the_queue_asks_for_a_password_and_stays_within_its_memory(
    services: dict[str, str],
) -> None:
    redis = services["redis"]
    assert '--requirepass, "${REDIS_PASSWORD:?' in redis
    assert "REDISCLI_AUTH: ${REDIS_PASSWORD:?" in redis
    # Beyond it the queue refuses; beyond the container's it would be killed.
    [own], [container] = (
        re.findall(r"--maxmemory, (\d+)mb", redis),
        re.findall(r"_limit: (\d+)m", redis),
    )
    assert int(own) < int(container)


def test_every_container_has_a_limit_of_memory(root: Path) -> None:
    done = _config(root, **dict.fromkeys(SECRETS, "given"))
    services = yaml_services(done.stdout)
    assert OWN - {"worker-gpu"} <= services.keys()
    for name, text in services.items():
        assert re.search(r"^    mem_limit: ", text, re.MULTILINE), name


def test_our_containers_write_to_their_volumes_alone(root: Path) -> None:
    services = yaml_services(_config(root, **dict.fromkeys(SECRETS, "given")).stdout)
    for name in OWN - {"worker-gpu"}:
        assert "    read_only: true" in services[name], name


def test_every_image_from_elsewhere_is_pinned_by_its_digest(compose: str, dockerfile: str) -> None:
    foreign = re.findall(r"^    image: (?!hematovision-)(\S+)$", compose, re.MULTILINE)
    foreign += re.findall(r"^FROM (\S+:\S+) AS", dockerfile, re.MULTILINE)
    assert len(foreign) == 3
    for image in foreign:
        assert re.fullmatch(r"[a-z]+:[\w.-]+@sha256:[0-9a-f]{64}", image), image


def test_what_lives_on_is_kept_in_named_volumes_and_comes_back(
    services: dict[str, str], compose: str
) -> None:
    named = compose.split("\nvolumes:\n")[1].replace(":", "").split()
    assert named == ["postgres", "redis", "blobs"]
    for name in ("postgres", "redis"):
        assert f'volumes: ["{name}:/' in services[name]
        assert "restart: unless-stopped" in services[name]
        assert "healthcheck:" in services[name]


def test_a_gpu_is_asked_for_only_under_its_profile(services: dict[str, str]) -> None:
    assert [name for name, text in services.items() if "profiles: [gpu]" in text] == ["worker-gpu"]
    assert [name for name, text in services.items() if "driver: nvidia" in text] == ["worker-gpu"]
