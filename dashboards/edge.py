"""What those outside see: requests, errors, certificates."""

from __future__ import annotations

from . import limits
from .board import Board
from .look import NONE_ELSE, WARNING, WELL, YES_NO
from .panels import AGO, NO_UNIT, PART, REQUESTS, SECONDS, Column, grid, number, trend
from .queries import HOST, Query

_NAME = "{{host}}"
# Only these are requests to a site; the others are redirects to HTTPS.
_SITE = f'{HOST}, handler="subroute"'
_REQUEST = "a request to a site of the edge, and a minute or two"
_SITES = "a site of the edge (edge_sites) that has a certificate"
_NOT_VALID = "missing|unreadable|not yet valid|does not cover the name|key mismatch|revoked"
_CERTIFICATE = "max by (host, name)"


def _slow(part: float) -> str:
    buckets = f"sum by (host, le) (rate(caddy_http_request_duration_seconds_bucket{{{_SITE}}}[5m]))"
    return f"histogram_quantile({part}, {buckets})"


BOARD = Board(
    uid="hypercode-edge",
    title="Edge and certificates",
    about="Do those outside get in, without errors, and will they tomorrow?",
    rows=(
        (
            number(
                "Is the edge up?",
                Query(f"max by (host) (max_over_time(hypercode_edge_up{{{HOST}}}[1m]))", _NAME),
                unit=NO_UNIT,
                words=YES_NO,
                alerts=["EdgeDown"],
                normal="✔ yes.",
                act="nobody outside gets in. `sudo systemctl restart caddy` on the host.",
            ),
            number(
                "Is it drained?",
                Query(f"max by (host) (hypercode_edge_drained{{{HOST}}})", _NAME),
                unit=NO_UNIT,
                words={0: ("✔ no", WELL), 1: ("! drained", WARNING)},
                alerts=["EdgeErrorBudgetBurnsFast"],
                normal="✔ no. Drained, while somebody updates this host: the load balancer gets 503 on purpose.",
                act="drained, and nobody works on it? `sudo hypercode edge undrain`.",
            ),
            number(
                "Errors in the last hour",
                Query(f"host:edge_errors:ratio1h{{{HOST}}}", _NAME, event=_REQUEST),
                unit=PART,
                limits=limits.ERRORS_HOUR,
                decimals=2,
                alerts=["EdgeErrorBudgetBurnsFast"],
                normal="less than 0.1 %. Nothing where there were no requests.",
                act="above 1.44 % somebody is woken. *The board* of the fleet shows which service is not well.",
            ),
            number(
                "Errors in 3 days",
                Query(f"host:edge_errors:ratio3d{{{HOST}}}", _NAME, event=_REQUEST),
                unit=PART,
                limits=limits.ERRORS_THREE_DAYS,
                decimals=2,
                alerts=["EdgeErrorBudgetBurnsSlowly"],
                normal="less than 0.1 %: that is the objective.",
                act="no night work: look for what fails now and then, in the log of accesses.",
            ),
            number(
                "Shortest life that is left",
                Query(f"min by (host) (hypercode_certificate_lifetime_left_ratio{{{HOST}}})", _NAME, event=_SITES),
                unit=PART,
                limits=limits.CERTIFICATE_LEFT,
                decimals=0,
                alerts=["CertificateRenewalLate", "CertificateNearlyExpired"],
                normal="more than 33 % of a certificate's life: then it is renewed.",
                act="`sudo hypercode certificates rehearse` on the host says what hinders the renewal.",
            ),
            number(
                "Certificates that cannot be used",
                Query(
                    f'sum by (host) (hypercode_certificate_state{{{HOST}, state=~"{_NOT_VALID}"}})',
                    _NAME,
                    event=_SITES,
                ),
                words=NONE_ELSE,
                limits=limits.ANY_CRITICAL,
                alerts=["CertificateUnusable"],
                normal="none.",
                act="`sudo hypercode certificates` on the host names each, and the fix.",
            ),
        ),
        (
            trend(
                "Requests by answer",
                [
                    Query(
                        f"sum by (host, code) (rate(caddy_http_request_duration_seconds_count{{{_SITE}}}[5m]))",
                        "{{host}} {{code}}",
                        event=_REQUEST,
                    )
                ],
                unit=REQUESTS,
                normal="200 most of all.",
                act="502: a service is away. 503: drained. 401: a wrong password. None: they do not get here at all.",
            ),
            trend(
                "How fast the error budget is used up",
                [
                    Query(f"host:edge_errors:ratio5m{{{HOST}}}", "{{host}} 5 minutes", event=_REQUEST),
                    Query(f"host:edge_errors:ratio30m{{{HOST}}}", "{{host}} 30 minutes", event=_REQUEST),
                    Query(f"host:edge_errors:ratio6h{{{HOST}}}", "{{host}} 6 hours", event=_REQUEST),
                ],
                unit=PART,
                limits=limits.ERRORS_SIX_HOURS,
                alerts=["EdgeErrorBudgetBurns"],
                normal="less than 0.1 %.",
                act="6 hours and 30 minutes above the line: somebody is woken.",
            ),
        ),
        (
            trend(
                "Time to answer",
                [
                    Query(_slow(0.5), "{{host}} half of them", event=_REQUEST),
                    Query(_slow(0.95), "{{host}} 95 of 100", event=_REQUEST),
                    Query(_slow(0.99), "{{host}} 99 of 100", event=_REQUEST),
                ],
                unit=SECONDS,
                normal="a mission takes seconds, a page less than one.",
                act="all three rise: a service is slow. Only the last: a few requests are heavy.",
            ),
            trend(
                "Requests at work",
                [
                    Query(
                        f"sum by (host) (caddy_http_requests_in_flight{{{_SITE}}})",
                        _NAME,
                        event="a request to a site of the edge",
                    )
                ],
                normal="a few.",
                act="it rises and does not fall: requests hang, in a service that does not answer.",
            ),
        ),
        (
            grid(
                "Certificates",
                [
                    Column(
                        "Life left",
                        Query(f"{_CERTIFICATE} (hypercode_certificate_lifetime_left_ratio{{{HOST}}})", event=_SITES),
                        PART,
                        limits.CERTIFICATE_LEFT,
                        None,
                        0,
                    ),
                    Column(
                        "Ends",
                        Query(
                            f"{_CERTIFICATE} (hypercode_certificate_not_after_timestamp_seconds{{{HOST}}}) * 1000",
                            event=_SITES,
                        ),
                        AGO,
                    ),
                    Column(
                        "From",
                        Query(
                            f"{_CERTIFICATE} (hypercode_certificate_not_before_timestamp_seconds{{{HOST}}}) * 1000",
                            event=_SITES,
                        ),
                        AGO,
                    ),
                ],
                {"name": "Name", "host": "Host"},
                width=16,
                height=8,
                alerts=["CertificateRenewalLate", "CertificateNearlyExpired"],
                normal="each has more than 33 % left.",
                act="`sudo hypercode certificates rehearse` on the host.",
            ),
            number(
                "Last look at certificates",
                Query(
                    f"time() - max by (host) (hypercode_certificates_checked_timestamp_seconds{{{HOST}}})",
                    _NAME,
                    event="the first look at the certificates, ten minutes after the edge was set up",
                ),
                unit=SECONDS,
                limits=limits.CERTIFICATES_AGE,
                width=8,
                height=8,
                alerts=["CertificatesNotWatched"],
                normal="less than ten minutes ago.",
                act="`systemctl status hypercode-certificates.timer` on the host.",
            ),
        ),
    ),
)
