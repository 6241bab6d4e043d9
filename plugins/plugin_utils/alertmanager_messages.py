# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The words of a message, as templates of Alertmanager: what is wrong, the next step, where to read on.

Its own ones leave out what the rules say, and link to a page that only the host itself can open.
"""

from __future__ import annotations

# In Slack, <...> would call people, or hide where a link goes.
_SLACK = ' | reReplaceAll "&" "&amp;" | reReplaceAll "<" "&lt;"'

_FIRING = (
    "{{ range .Alerts.Firing }}"
    "{{ if gt (len $.Alerts) 1 }}{{ or .Annotations.summary .Labels.alertname%(plain)s }}\n{{ end }}"
    "{{ with .Annotations.description }}{{ .%(plain)s }}\n{{ end }}"
    "{{ with .Annotations.runbook_url }}What to do: {{ .%(plain)s }}\n{{ end }}"
    "\n{{ end }}"
)
_RESOLVED = "{{ range .Alerts.Resolved }}Over: {{ or .Annotations.summary .Labels.alertname%(plain)s }}\n{{ end }}"
_STATE = (
    '{{ if ne .Status "firing" }}Over{{ else if eq .CommonLabels.severity "critical" }}CRITICAL'
    "{{ else }}Warning{{ end }}"
)
_SUBJECT = (
    "{{ with .CommonAnnotations.summary }}{{ .%(plain)s }}{{ else }}{{ .CommonLabels.alertname%(plain)s }}"
    "{{ with .CommonLabels.host }} on {{ .%(plain)s }}{{ end }}"
    "{{ if gt (len .Alerts) 1 }} ({{ len .Alerts }} alerts){{ end }}{{ end }}"
)


def title(*, slack: bool = False) -> str:
    """One line: how bad, and what. Where several alerts are told at once, how many."""
    return f"{_STATE}: {_plain(_SUBJECT, slack)}"


def text(*, slack: bool = False) -> str:
    """What each alert means and where to read on; then those that are over."""
    return _plain(_FIRING + _RESOLVED, slack)


def details() -> dict[str, str]:
    """The same for PagerDuty, in two parts.

    Newer versions of Alertmanager read each as YAML, and make a mapping of what looks like one. With a line before it,
    it does not.
    """
    return {
        "firing": "{{ len .Alerts.Firing }} firing\n" + _plain(_FIRING, slack=False),
        "resolved": "{{ len .Alerts.Resolved }} over\n" + _plain(_RESOLVED, slack=False),
    }


def _plain(template: str, slack: bool) -> str:
    return template % {"plain": _SLACK if slack else ""}


RUNBOOK = "{{ .CommonAnnotations.runbook_url }}"
SLACK_COLOUR = (
    '{{ if ne .Status "firing" }}good{{ else if eq .CommonLabels.severity "critical" }}danger{{ else }}warning{{ end }}'
)
PAGERDUTY_SEVERITY = '{{ if eq .CommonLabels.severity "critical" }}critical{{ else }}warning{{ end }}'
