#!/usr/bin/python
# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: load_test
short_description: Put load on a host from the controller, and judge answers and limits
version_added: 0.1.0
author: The hypercode.deploy authors (@hypercode)
description:
  - Sends missions to the orchestrator, all at once, or gets one address again and again, with Locust on the controller.
  - Meanwhile the host watches the limits of every service, see M(hypercode.deploy.limits_watch).
  - Fails with one finding for each point that was missed. Errors, the 95th percentile, missions that do not complete or
    share an id, a rate that was not reached, and limits that did not hold.
  - The way there is O(url); without it the site of O(sites) whose service is O(service); without such a site an SSH
    tunnel to the container, with the login that Ansible uses.
requirements:
  - Locust, which requirements.lock has
attributes:
  check_mode:
    support: full
    description: In check mode there is no load; the result is skipped and says where it would go.
  diff_mode:
    support: none
    description: Nothing on the host is changed.
  idempotent:
    support: none
    description: Each run is a test of its own.
options:
  profile:
    description: What is done. V(missions) or V(http).
    type: str
    choices: [missions, http]
    default: missions
  url:
    description: Where to go, such as V(https://app.example.com). Empty to find the way.
    type: str
    default: ""
  service:
    description: The service that answers, as in the Compose file.
    type: str
    default: crew-orchestrator
  port:
    description: Its port, for the tunnel.
    type: int
    default: 8080
  sites:
    description: The sites of the edge, as C(edge_sites).
    type: list
    elements: dict
    default: []
  path:
    description: With V(http), what to get.
    type: str
    default: /health
  address:
    description: The host to go to, whatever DNS says of the name. Empty asks DNS. Not used for a tunnel.
    type: str
    default: ""
  ca_file:
    description: A file with the certificates of the CA to trust. Empty for those that the system trusts.
    type: str
    default: ""
  user:
    description: The user for basic authentication.
    type: str
    default: ""
  password:
    description: The password of O(user).
    type: str
    default: ""
  timeout:
    description: Seconds to wait for an answer.
    type: float
    default: 30
  missions:
    description: How many missions there are at once.
    type: int
    default: 10
  time_limit:
    description: Seconds in which each mission has to complete.
    type: float
    default: 60
  task:
    description: What each mission is.
    type: str
    default: "Load test: say in one sentence what you would do first."
  context:
    description: The context of each mission.
    type: dict
    default: {}
  priority:
    description: The priority of each mission.
    type: str
    default: normal
  files:
    description: The files of each mission.
    type: list
    elements: str
    default: []
  shared_ids:
    description: Accept missions that are given the same id.
    type: bool
    default: false
  users:
    description: With V(http), how many get it at once.
    type: int
    default: 10
  rate:
    description: With V(http), requests a second in all. V(0) for as many as the users can make.
    type: float
    default: 0
  duration:
    description: With V(http), for how many seconds.
    type: float
    default: 30
  p95_ms:
    description: Milliseconds below which the 95th percentile of each kind of request has to stay.
    type: float
    default: 500
  errors:
    description: How many requests may fail.
    type: int
    default: 0
  memory_share:
    description: The share of its memory limit that a service has to stay below.
    type: float
    default: 0.9
  throttled_share:
    description: The share of its CPU periods in which a service may be cut short.
    type: float
    default: 0.25
  report:
    description: The file on the controller that gets all figures, as JSON.
    type: path
    required: true
"""

EXAMPLES = r"""
- name: Send ten missions at once
  hypercode.deploy.load_test:
    sites: "{{ edge_sites | default([]) }}"
    report: .cache/load_test/{{ inventory_hostname }}.json

- name: Get a page a hundred times a second
  hypercode.deploy.load_test:
    profile: http
    url: https://app.example.com
    path: /health
    rate: 100
    report: .cache/load_test/{{ inventory_hostname }}.json
"""

RETURN = r"""
report:
  description: All figures, as in the file. C(docs/load_test.md) says what each is.
  returned: when there was load
  type: dict
findings:
  description: Each point that was missed, with C(rule), C(severity), C(name), C(message) and C(fix).
  returned: when there was load
  type: list
  elements: dict
hypercode_summary:
  description: The figures as lines of text.
  returned: when there was load
  type: list
  elements: str
"""
