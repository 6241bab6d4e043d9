#!/usr/bin/python
# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: secrets_validate
short_description: Judge secrets before anything is deployed with them
version_added: 0.1.0
author: The hypercode.deploy authors (@hypercode)
description:
  - Refuses secrets that are missing, weak, placeholders, vendor defaults, malformed, used twice, shared with another
    environment, or too old. All findings are returned at once.
  - A finding names the secret and the rule. No value, no part of one, no digest and no length is ever returned.
  - What is not known counts as the worst case. An unknown environment is judged as V(production), and a secret without
    a policy is judged as a token of 128 bits.
  - Values count as Ansible has evaluated them. One that still looks like a template is a placeholder.
  - Runs on the controller and connects to nothing.
attributes:
  check_mode:
    support: full
    description: Nothing is changed, so check mode is the same.
  diff_mode:
    support: none
    description: Nothing is written.
  idempotent:
    support: full
    description: Nothing is changed. The age of a secret depends on the day.
  action:
    support: full
    description: It runs on the controller only.
options:
  secrets:
    description:
      - The secrets, name to value. Anything else than a mapping of names to texts is a finding.
      - C(NAME_URLENCODED) beside C(NAME) is its percent-encoded form, not a second secret.
    type: dict
    required: true
  policy:
    description:
      - Rules by name, or by a pattern such as V(*_PASSWORD). An exact name wins, then the first pattern that fits.
      - "C(kind): one of V(token) (default), V(password), V(jwt_hs256), V(aes_key_base64), V(fernet), V(hex), V(url),
        V(pem_private_key), V(ssh_private_key), V(password_hash), V(anthropic_key), V(openai_key), V(discord_token),
        V(discord_webhook), V(slack_webhook), V(text)."
      - "C(required): whether the secret must be there. True for an exact name, and never for a pattern."
      - "C(bits): least strength. 128 for V(token) and V(hex), 256 for V(jwt_hs256)."
      - "C(max_age_days): after so many days the secret is old, which is a warning."
      - "C(same_as): names whose value may be the same."
      - "C(embeds): for V(url), the names of the secrets that its C(password) and C(username) must be equal to."
      - "C(certificate): for V(pem_private_key), the name of its certificate in O(secrets) or O(related)."
      - "C(generate), C(length), C(rotate), C(description): for C(scripts/secrets)."
    type: dict
    default: {}
  environment:
    description:
      - One of V(production), V(staging), V(development), V(test), in any case. Anything else counts as V(production).
      - In V(development) and V(test), weak, known, repeated and old secrets are warnings.
    type: raw
  related:
    description: Settings beside the secrets. URLs in them that hold a password must agree with the secrets.
    type: dict
    default: {}
  set_on:
    description: The day on which each secret was set, name to date (year-month-day).
    type: dict
    default: {}
  files:
    description:
      - Files with secrets on the controller. They must not be readable by others, unless ansible-vault or SOPS has
        encrypted all of their values.
      - Of files that are not YAML or JSON, the variables that the policy knows, or that are named like a secret, are
        judged as well.
    type: list
    elements: str
    default: []
  other_files:
    description: Vault files of other environments. No value in them may be in use here.
    type: list
    elements: str
    default: []
  other_files_required:
    description: Warn of a file in O(other_files) that the vault passwords at hand do not open.
    type: bool
    default: true
  words:
    description: Words of the project that count as known, such as its name and those of its services.
    type: list
    elements: str
    default: []
  fail_on:
    description: From which severity on the task fails.
    type: str
    choices: [error, warning]
    default: error
notes:
  - The rules, and how to read a finding, are in C(docs/secrets_validate.md).
  - Put C(no_log) on tasks and variables that make the values. This task returns none and needs none.
"""

EXAMPLES = r"""
- name: Judge the secrets of the stack
  hypercode.deploy.secrets_validate:
    secrets: "{{ stack_secrets }}"
    policy:
      POSTGRES_PASSWORD: {kind: password, max_age_days: 365}
      HYPERCODE_JWT_SECRET: {kind: jwt_hs256}
      HYPERCODE_DB_URL: {kind: url, embeds: {password: POSTGRES_PASSWORD}}
      "*_TOKEN": {kind: token}
    environment: production
    set_on: "{{ stack_secrets_set_on | default({}) }}"
    other_files: [inventories/staging/group_vars/hypercode/vault.yml]
    words: [hypercode]
  register: stack_secrets_judged
"""

RETURN = r"""
valid:
  description: Whether nothing was found that is as severe as O(fail_on).
  returned: always
  type: bool
checked:
  description: The names of the secrets, sorted.
  returned: always
  type: list
  elements: str
findings:
  description:
    - What was found, each C({secret, rule, severity, message, hint}). Errors come first.
    - C(secret) is empty for a finding that is about no single secret.
  returned: always
  type: list
  elements: dict
  sample:
    - secret: API_KEY
      rule: secret-placeholder
      severity: error
      message: API_KEY holds a placeholder, a vendor's default or a well-known value. Anyone would try it first.
      hint: "Run: scripts/secrets rotate production API_KEY"
msg:
  description: How many findings there are, and which secrets they are about.
  returned: when it fails
  type: str
"""
