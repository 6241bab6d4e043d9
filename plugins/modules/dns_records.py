#!/usr/bin/python
# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: dns_records
short_description: Keep the records of hosts and sites in zones, through octoDNS
version_added: 0.1.0
author: The hypercode.deploy authors (@hypercode)
description:
  - Makes A and AAAA records of hosts, of the names that they serve, CAA records of these, and records that are given as
    data. Takes away what it made before and is not wanted any more.
  - Every record that it makes has a TXT record beside it that says so (C(_owner.TYPE.NAME)). Records without one, or
    with that of another owner, are never changed or removed.
  - All zones are planned before any of them is changed. A plan that touches what belongs to others, that a CNAME stands
    in the way of, or that changes much at once is refused.
  - Afterwards every name server of the zone is asked for what has changed until it answers with it, then resolvers are.
  - Runs on the controller and connects to no host. Of hosts it reads variables of the inventory only, so that O(hosts)
    may name hosts outside of C(--limit).
requirements:
  - octodns
  - octodns-bind, or the package of another provider
  - dnspython
attributes:
  check_mode:
    support: full
    description: The zones are read and compared; nothing is written. What would be refused is refused here, too.
  diff_mode:
    support: full
    description: Shows the plan of each zone, record by record.
  idempotent:
    support: full
    description: A zone that has the wanted records is not written to.
options:
  state:
    description:
      - V(present) makes the zones as wanted. V(absent) takes away every record that this owner has made in them.
      - V(verified) changes nothing, and fails unless the zones, their name servers and the resolvers have the records.
      - V(validated) only judges the settings. It connects to nothing and fails for nothing.
    type: str
    choices: [present, absent, verified, validated]
    default: present
  zones:
    description:
      - The zones that are held, each with its C(provider) and the settings of that. Secrets in them are never shown.
      - Each may have C(records), a list of C(name), C(type), C(value) or C(values), and C(ttl); C(ttl); and
        C(nameservers), where they are not to be found in the zone.
    type: raw
    default: {}
  hosts:
    description:
      - Hosts of the inventory that get a record. Their C(dns_host_name), C(dns_addresses) and C(ansible_host) are read.
    type: raw
    default: []
  host_zone:
    description: The zone of hosts whose name is in none. Without it the first one.
    type: raw
    default: ""
  sites:
    description: By host, a list of names that it serves, each with C(name), and C(acme) where a public CA certifies it.
    type: raw
    default: {}
  caa:
    description: A list of the certificate authorities that may certify these names. Without any there is no CAA.
    type: raw
    default: []
  leave_out:
    description: A list of names of hosts and sites for which no record is made.
    type: raw
    default: []
  adopt:
    description: A list of names whose records are taken over, although others have made them.
    type: raw
    default: []
  owner:
    description: Whose records these are. Two inventories that share a zone need two owners.
    type: raw
    default: hypercode
  ttl:
    description: Seconds that resolvers may keep a record.
    type: raw
    default: 300
  change_limit:
    description: How many percent of the owner's records in a zone may be changed or removed at once.
    type: int
    default: 30
  force:
    description: Whether O(change_limit) does not count.
    type: bool
    default: false
  resolvers:
    description: A list of resolvers that are asked once all name servers are right.
    type: raw
    default: []
  timeout:
    description: Seconds until all name servers have to be right, and then all resolvers.
    type: int
    default: 120
seealso:
  - module: hypercode.deploy.settings_check
"""

EXAMPLES = r"""
- name: Keep the records of all hosts
  hypercode.deploy.dns_records:
    zones:
      example.com:
        provider: rfc2136
        server: 192.0.2.53
        key_name: deploy
        key: "{{ vault_dns_key }}"
        records:
          - {name: "@", type: MX, value: 10 mail.example.com}
    hosts: "{{ groups['hypercode'] }}"
    sites: {web1: [{name: app.example.com}]}
    caa: [letsencrypt.org]
    owner: hypercode-production
    resolvers: [1.1.1.1, 9.9.9.9]
  run_once: true
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, record by record.
  returned: O(state=present), O(state=absent) or O(state=verified)
  type: list
  elements: str
  sample: [add web1.example.com A 192.0.2.10]
findings:
  description: What is wrong with the settings, the zones or what name servers answer.
  returned: always
  type: list
  elements: dict
  sample:
    - rule: dns-foreign
      severity: error
      name: app.example.com
      message: app.example.com A exists already, was not made by this role, and is 203.0.113.7, not 192.0.2.10.
      fix: "Remove it at the provider; or let this role have it: add app.example.com to dns_adopt."
unconfirmed:
  description: What resolvers did not give within the time. Name servers have it.
  returned: O(state=present) or O(state=absent)
  type: list
  elements: str
zones:
  description:
    - Of each zone its C(zone), C(where) it is, C(left) (records of others that are as wanted), the C(servers) asked.
  returned: O(state=present), O(state=absent) or O(state=verified)
  type: list
  elements: dict
"""
