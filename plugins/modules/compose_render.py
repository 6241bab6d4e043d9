#!/usr/bin/python
# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: compose_render
short_description: Render Compose files and a policy into the resolved file of a release
version_added: 0.1.0
description:
  - Reads the Compose files of a project on the controller, checks them, applies class policy and overrides, and returns
    one resolved C(compose.yaml) for a release. Nothing is written; writing the text is the caller's job.
  - Secrets are never put in. They stay as C(${NAME}) and C(docker compose --env-file) fills them in on the host. Every
    other dollar sign is doubled for that.
  - All problems are reported at once, each with file, line, service and fix. What the policy cannot repair is judged by
    the rules of M(hypercode.deploy.compose_audit), and an error among them refuses the release.
options:
  project_name:
    description: Name of the Compose project. It becomes C(name) of the result.
    type: str
    required: true
  files:
    description: Compose files on the controller. A later one is merged over the earlier ones.
    type: list
    elements: str
    required: true
  project_directory:
    description: Folder on the controller that relative paths count from. The folder of the first file where not given.
    type: str
  environment_variables:
    description:
      - Values for C(${NAME}) in the files. They are written out, so no secret belongs here.
      - Neither the controller's environment nor a C(.env) file is read.
    type: dict
    default: {}
  secret_names:
    description:
      - Names that are never replaced. A default that a file gives for one of them is dropped, with a warning.
    type: list
    elements: str
    default: []
  profiles:
    description: Active Compose profiles. V(*) is all of them.
    type: list
    elements: str
    default: []
  classes:
    description:
      - Class by service name, or by a pattern such as V(*-specialist). An exact name wins over patterns.
      - A service that is not named here has the class of its label C(hypercode.class) or its key C(x-hypercode-class),
        else O(default_class).
    type: dict
    default: {}
  policy:
    description:
      - Class by class, what applies to its services. Keys are C(healthcheck), C(limits), C(restart), C(logging),
        C(security), C(stop_grace_period) and C(needs_outside).
      - Restart, limits and healthcheck timing win over the file, unless the service lists them in C(x-hypercode-keep).
        The others fill in what the file leaves open.
    type: dict
    default: {}
  default_class:
    description: Class of the services for which nothing else says one.
    type: str
  services:
    description:
      - Overrides by service name or pattern. They win over the file and the policy.
      - Keys are C(class), C(enabled), C(image), C(tag), C(digest), C(cpus), C(memory), C(pids), C(restart),
        C(healthcheck), C(read_only), C(init), C(user), C(cap_add), C(cap_drop), C(security_opt), C(tmpfs), C(logging),
        C(stop_grace_period), C(environment), C(labels), C(publish) and C(keep).
      - An empty value in C(environment) removes the variable.
    type: dict
    default: {}
  images:
    description:
      - Image, tag and digest by service name or pattern. C({service}) in C(image) stands for the service's name.
    type: dict
    default: {}
  publish:
    description:
      - V(none) removes published ports, V(loopback) binds them to 127.0.0.1, V(keep) leaves them.
    type: str
    choices: [none, loopback, keep]
    default: none
  outlets:
    description:
      - Names of services that get an outlet, a network of their own by which they leave the host. By its bridge
        M(hypercode.deploy.firewall_apply) knows what comes from which service.
    type: list
    elements: str
    default: []
  bind_root:
    description: Absolute path on the host where the project's files will be. Relative bind mounts come out below it.
    type: str
  compare_with:
    description: Path of the deployed file on the host. In diff mode it is read and the result has a diff to it.
    type: str
  ignore:
    description:
      - Findings to set aside, each C({rule, service, reason}). Without a reason the entry is refused.
      - C(service) can be a pattern, or be left out. An entry that fits nothing is a warning.
    type: list
    elements: dict
    default: []
attributes:
  check_mode:
    support: full
    description: It changes nothing in any mode, so the result is the same.
  diff_mode:
    support: full
    description: With O(compare_with), the deployed file is compared with the rendered one.
  idempotent:
    support: full
    description: The same input gives the same text, byte for byte.
  action:
    support: full
    description: It runs on the controller, and connects to the host for O(compare_with) in diff mode only.
notes:
  - Text in O(policy), O(services) and O(images) is read like the file's own. C(${NAME}) is replaced, and a literal
    dollar sign is written C($$).
  - C(docker compose) lets its own environment win over C(--env-file), so run it without the secrets' names in there.
  - C(version), C(container_name) and, where there is an image, C(build) are dropped from the result.
author: The hypercode.deploy authors (@hypercode)
"""

EXAMPLES = r"""
- name: Render the release
  hypercode.deploy.compose_render:
    project_name: hypercode
    files: ["{{ playbook_dir }}/../stack/compose.yaml"]
    environment_variables:
      LOG_LEVEL: info
    secret_names: [POSTGRES_PASSWORD, API_KEY]
    default_class: infra
    classes:
      "*-specialist": agent
      hypercode-core: core
    policy:
      agent:
        healthcheck: {interval: 60s, timeout: 10s, retries: 5, start_period: 90s}
        limits: {cpus: 1, memory: 1G, pids: 256}
        restart: "on-failure:3"
        needs_outside: true
      core:
        limits: {cpus: 1.5, memory: 1.5G}
        restart: "on-failure:3"
      infra:
        restart: unless-stopped
    images:
      "*-specialist": {image: "registry.example.com/hypercode/{service}", tag: "2.0.1"}
    bind_root: /etc/hypercode/stack
    compare_with: /opt/hypercode/current/compose.yaml
  register: stack_render

- name: Set one finding aside, with the reason
  hypercode.deploy.compose_render:
    project_name: demo
    files: [compose.yaml]
    ignore:
      - {rule: image-not-pinned, service: debug, reason: "Started by hand only, never in a release."}
"""

RETURN = r"""
compose:
  description: The resolved project.
  returned: success
  type: dict
text:
  description: The resolved project as YAML.
  returned: success
  type: str
services:
  description:
    - Each service with C(image), C(class), C(depends_on) (service to condition), C(healthcheck), C(limits), C(restart),
      C(stop_grace_period_s), C(networks), C(network_mode), C(volumes), C(ports) and C(expose).
    - C(healthcheck) is null, or has C(test), C(interval_s), C(timeout_s), C(retries), C(start_period_s) and
      C(start_interval_s), with the engine's defaults filled in.
    - C(limits) has C(cpus), C(memory_bytes) and C(pids), null where not limited.
  returned: success
  type: dict
order:
  description: Levels of services in start order. Each service stands behind all that it depends on.
  returned: success
  type: list
  elements: list
repairs:
  description: What was changed, each C({service, field, before, after, rule}). Values of variables are left out.
  returned: success
  type: list
  elements: dict
binds:
  description:
    - Relative bind mounts, each C({service, source, host_path, target}). C(source) counts from the project folder.
  returned: success
  type: list
  elements: dict
findings:
  description: Problems, each C({rule, severity, service, message, fix, path, line, file, repairable}). Errors come
    first.
  returned: always
  type: list
  elements: dict
ignored:
  description: Findings that O(ignore) set aside, with the reason.
  returned: always
  type: list
  elements: dict
warnings:
  description: The findings that do not stop a release, one line each.
  returned: always
  type: list
  elements: str
variables:
  description:
    - C(secrets) lists the secret names in use, C(plain) the other variables in use, C(unset) the ones without a value.
  returned: always
  type: dict
diff:
  description: The deployed file against the rendered one.
  returned: in diff mode with O(compare_with)
  type: dict
"""
