# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of what the checks of a whole project report (``check_project``, ``render``, the interpolator)."""

from __future__ import annotations

from .rule import ERROR, WARNING, AuditRule, Example

_WEB = 'services: {web: {image: "web:1"}}'

NETWORKS = (
    AuditRule(
        "no-way-out",
        ERROR,
        "A service whose class needs the outside is on internal networks only.",
        "Every call to an outside API fails, such as that of an agent to its language model.",
        "give it one more network that is not internal; nothing needs to be published for that.",
        bad=Example('services: {web: {image: "web:1", networks: [back]}}\nnetworks: {back: {internal: true}}'),
        good=Example('services: {web: {image: "web:1", networks: [back]}}\nnetworks: {back: {}}'),
    ),
    AuditRule(
        "network-external",
        WARNING,
        "A network is external: nothing here creates it.",
        "On a new host nothing starts until somebody makes it by hand.",
        "take external away, or create it on each host before the first deploy.",
        bad=Example(f"{_WEB}\nnetworks: {{shared: {{external: true}}}}"),
        good=Example(f"{_WEB}\nnetworks: {{shared: {{}}}}"),
    ),
)

HEALTH = (
    AuditRule(
        "healthcheck-missing",
        WARNING,
        "A service has no healthcheck.",
        "Docker sees only whether its process is there, so nobody notices when it hangs.",
        "add healthcheck: with a test that asks the service itself.",
        bad=Example(_WEB),
        good=Example('services: {web: {image: "web:1", healthcheck: {test: "web-check", timeout: 5s}}}'),
    ),
    AuditRule(
        "healthcheck-awaited",
        ERROR,
        "A service waits until another one is healthy, and that one has no healthcheck.",
        "It never gets healthy, so the waiting service never starts. Only a healthcheck inside the image would help.",
        "add a healthcheck to the other service.",
        bad=Example(
            'services: {web: {image: "web:1", depends_on: {db: {condition: service_healthy}}}, db: {image: "db:1"}}'
        ),
        good=Example(
            """
            services:
              web: {image: "web:1", depends_on: {db: {condition: service_healthy}}}
              db: {image: "db:1", healthcheck: {test: "db-check", timeout: 5s}}
            """
        ),
    ),
    AuditRule(
        "dependency-cycle",
        ERROR,
        "Services wait for each other.",
        "None of them can start first, so Compose starts nothing.",
        "take one of the depends_on lines away.",
        bad=Example('services: {web: {image: "web:1", depends_on: [api]}, api: {image: "api:1", depends_on: [web]}}'),
        good=Example('services: {web: {image: "web:1", depends_on: [api]}, api: {image: "api:1"}}'),
    ),
    AuditRule(
        "dependency-disabled",
        ERROR,
        "A service needs another one that is switched off.",
        "Compose refuses the file, or the service runs without what it needs.",
        "switch the other one on, switch this one off too, or write required: false.",
        bad=Example('services: {web: {image: "web:1", depends_on: [api]}, api: {image: "api:1", profiles: [debug]}}'),
        good=Example(
            'services: {web: {image: "web:1", depends_on: [api]}, api: {image: "api:1", profiles: [debug]}}',
            options={"profiles": ["debug"]},
        ),
    ),
    AuditRule(
        "reference-undefined",
        ERROR,
        "A service names a network, volume, secret, config or service that nothing defines.",
        "Compose refuses the file.",
        "correct the name, or add it to its section at the end of the file.",
        bad=Example('services: {web: {image: "web:1", networks: [frnot]}}\nnetworks: {front: {}}'),
        good=Example('services: {web: {image: "web:1", networks: [front]}}\nnetworks: {front: {}}'),
    ),
)

IMAGES = (
    AuditRule(
        "image-not-pinned",
        ERROR,
        "An image has no tag, or the tag latest.",
        "Nobody can say what runs, two hosts may run different things, and there is no way back.",
        "name a version, or add a digest.",
        bad=Example('services: {web: {image: "web:latest"}}'),
        good=Example(_WEB),
    ),
    AuditRule(
        "image-missing",
        ERROR,
        "A service has no image to pull.",
        "A release is pulled, never built on the way: what was tested is what runs.",
        "push the image and name it; build: may stand beside it.",
        bad=Example("services: {web: {build: https://git.example.com/web.git}}"),
        good=Example('services: {web: {build: https://git.example.com/web.git, image: "web:1"}}'),
    ),
    AuditRule(
        "image-invalid",
        ERROR,
        "The name of an image has no valid form.",
        "Docker refuses it.",
        "write registry/name:tag, in lower-case letters.",
        bad=Example('services: {web: {image: "Web Server:1"}}'),
        good=Example('services: {web: {image: "web-server:1"}}'),
    ),
)

VARIABLES = (
    AuditRule(
        "variable-unset",
        ERROR,
        "A variable has no value and no default.",
        "Compose puts an empty text in its place and goes on with a warning that nobody reads.",
        "give it a value, list it in secret_names, or write ${NAME:-default}.",
        bad=Example('services: {web: {image: "web:${VERSION}"}}'),
        good=Example('services: {web: {image: "web:${VERSION}"}}', options={"variables": {"VERSION": "1"}}),
    ),
    AuditRule(
        "variable-syntax",
        ERROR,
        "A dollar sign begins no variable.",
        "Compose refuses the file.",
        "write ${NAME}, ${NAME:-default}, or $$ for a dollar sign.",
        bad=Example('services: {web: {image: "web:1", command: "price 5$ each"}}'),
        good=Example('services: {web: {image: "web:1", command: "price 5$$ each"}}'),
    ),
    AuditRule(
        "secret-default",
        WARNING,
        "A name from secret_names has a default in the file.",
        "The default is not used in a release, but it would be by anyone who runs the file directly.",
        "write ${NAME:?} there.",
        bad=Example(
            'services: {web: {image: "web:1", environment: {API_TOKEN: "${API_TOKEN:-none-yet}"}}}',
            options={"secret_names": ["API_TOKEN"]},
        ),
        good=Example(
            'services: {web: {image: "web:1", environment: {API_TOKEN: "${API_TOKEN:?}"}}}',
            options={"secret_names": ["API_TOKEN"]},
        ),
    ),
    AuditRule(
        "secret-in-variables",
        WARNING,
        "A name is in secret_names and in environment_variables.",
        "The plain value is not used, and lies in the inventory without need.",
        "remove it from environment_variables.",
        bad=Example(_WEB, options={"secret_names": ["API_TOKEN"], "variables": {"API_TOKEN": "x"}}),
        good=Example(_WEB, options={"secret_names": ["API_TOKEN"]}),
    ),
    AuditRule(
        "secret-not-listed",
        ERROR,
        "A Compose secret takes its value from a variable that is not listed as a secret.",
        "Its value would not reach the host as a secret.",
        "list the variable in secret_names.",
        bad=Example(
            f"{_WEB}\nsecrets: {{token: {{environment: KEY_OF_WEB}}}}", options={"variables": {"KEY_OF_WEB": "x"}}
        ),
        good=Example(
            f"{_WEB}\nsecrets: {{token: {{environment: KEY_OF_WEB}}}}", options={"secret_names": ["KEY_OF_WEB"]}
        ),
    ),
    AuditRule(
        "env-file",
        ERROR,
        "An env file is missing or holds a line that is no assignment.",
        "Compose refuses it, or a variable keeps another value than the one that was meant.",
        "write one NAME=value a line, and put a value with spaces, # or quotes inside quotes.",
        bad=Example(
            _WEB, files={"stack.env": "VERSION=1\nthis is no assignment\n"}, options={"env_files": ["stack.env"]}
        ),
        good=Example(_WEB, files={"stack.env": "VERSION=1\n"}, options={"env_files": ["stack.env"]}),
    ),
    AuditRule(
        "env-file-secret",
        ERROR,
        "A secret stands in clear in an env_file of a service.",
        "Its value would be written into the file of the release.",
        "list the name in secret_names and give its value as a secret.",
        bad=Example(
            'services: {web: {image: "web:1", env_file: web.env}}', files={"web.env": "API_TOKEN=not-a-real-one\n"}
        ),
        good=Example('services: {web: {image: "web:1", env_file: web.env}}', files={"web.env": "LOG_LEVEL=info\n"}),
    ),
)

VOLUMES = (
    AuditRule(
        "volume-external",
        WARNING,
        "A volume is external: nothing here creates it.",
        "On a new host nothing starts until somebody makes it, and backups look for it under another name.",
        "take external away, or create it on each host before the first deploy.",
        bad=Example(f"{_WEB}\nvolumes: {{data: {{external: true}}}}"),
        good=Example(f"{_WEB}\nvolumes: {{data: {{}}}}"),
    ),
    AuditRule(
        "bind-outside",
        ERROR,
        "A service mounts a path outside the project's folder, or one in a home folder.",
        "Such a file is not sent to the host.",
        "move it into the project's folder, or write an absolute path of the host.",
        bad=Example('services: {web: {image: "web:1", volumes: ["../web:/data"]}}'),
        good=Example('services: {web: {image: "web:1", volumes: ["/srv/web:/data"]}}'),
    ),
)
