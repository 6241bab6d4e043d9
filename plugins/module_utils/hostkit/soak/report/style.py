# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The looks of the page: colours for light and dark, and rules for the screen, a phone and paper."""

from __future__ import annotations

# Told apart with every kind of colour blindness, and never by colour alone. A test computes the contrasts.
LIGHT = {
    "bg": "#ffffff",
    "panel": "#f5f6f8",
    "text": "#1b1f24",
    "muted": "#565f6a",
    "line": "#dce0e5",
    "link": "#0a58a8",
    "fail": "#b3261e",
    "fail-bg": "#fdf0ee",
    "warn": "#7d4e00",
    "warn-bg": "#fcf4e3",
    "pass": "#0a6a58",
    "pass-bg": "#ecf6f3",
    "skip": "#565f6a",
    "skip-bg": "#f1f3f5",
    "one": "#0067a8",
    "two": "#bf4c00",
    "three": "#00795c",
    "band": "#d4d9df",
}
DARK = {
    "bg": "#14171b",
    "panel": "#1c2026",
    "text": "#e7e9ec",
    "muted": "#a5aeb8",
    "line": "#343b44",
    "link": "#86bcff",
    "fail": "#ff9485",
    "fail-bg": "#2d1b19",
    "warn": "#ecbb5a",
    "warn-bg": "#2a2313",
    "pass": "#5bcbb1",
    "pass-bg": "#142620",
    "skip": "#a5aeb8",
    "skip-bg": "#20252b",
    "one": "#5ab4ec",
    "two": "#ffa45c",
    "three": "#5bd3ae",
    "band": "#3a424c",
}
# Which colours write text, and on which grounds.
TEXT_ON = {
    "bg": ("text", "muted", "link", "fail", "warn", "pass", "skip"),
    "panel": ("text", "muted", "link", "fail", "warn", "pass", "skip"),
    "fail-bg": ("text", "muted", "fail", "link"),
    "warn-bg": ("text", "muted", "warn", "link"),
    "pass-bg": ("text", "muted", "pass", "link"),
    "skip-bg": ("text", "muted", "skip", "link"),
}

_RULES = """
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--bg);color:var(--text);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,
"Noto Sans","Helvetica Neue",Arial,sans-serif;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
main,.hero>div,footer{max-width:1040px;margin:0 auto;padding:0 20px}
p,ul,dl,table,figure,h1,h2,h3{margin:0;padding:0}
a{color:var(--link);text-underline-offset:2px}
a:focus-visible,summary:focus-visible{outline:3px solid var(--link);outline-offset:2px;border-radius:4px}
svg{display:block}
.m{width:1em;height:1em;flex:none;fill:none;stroke:currentColor;stroke-width:2.4;stroke-linecap:round;
stroke-linejoin:round}
.FAIL{--tone:var(--fail);--tint:var(--fail-bg)}.INCONCLUSIVE{--tone:var(--warn);--tint:var(--warn-bg)}
.PASS{--tone:var(--pass);--tint:var(--pass-bg)}.NOT-TESTED,.RUNNING{--tone:var(--skip);--tint:var(--skip-bg)}
.hero{background:var(--tint);border-top:6px solid var(--tone);padding:28px 0 26px}
.kicker{color:var(--muted);font-size:.94rem}
h1{display:flex;align-items:center;gap:.28em;color:var(--tone);font-size:clamp(2.1rem,9.6vw,3.9rem);line-height:1.1;
font-weight:750;letter-spacing:-.015em;margin:6px 0 12px}
h1 .m{width:.8em;height:.8em;stroke-width:3}
.reason{font-size:clamp(1.08rem,2.6vw,1.32rem);line-height:1.4;font-weight:600;max-width:46em}
.next{margin-top:12px;max-width:46em}
.next b{color:var(--tone)}
.counts{display:flex;flex-wrap:wrap;gap:6px 20px;list-style:none;margin-top:20px}
.counts li,.verdict{display:inline-flex;align-items:center;gap:.4em;color:var(--tone);font-weight:650}
.left-out{margin-top:6px;font-size:.92rem}
.left-out a{color:inherit}
.facts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,210px),1fr));gap:14px 28px;margin-top:26px}
dt{color:var(--muted);font-size:.84rem}
dd{margin:0}
h2{font-size:1.32rem;line-height:1.3;font-weight:680;margin:52px 0 6px;letter-spacing:-.005em}
h3{font-size:1.02rem;font-weight:650;line-height:1.4}
.hint{color:var(--muted);font-size:.92rem;max-width:46em}
.card{border:1px solid var(--line);border-left:5px solid var(--tone);border-radius:8px;margin-top:16px;
background:var(--bg)}
.card>summary,.fold>summary{cursor:pointer;padding:14px 18px;border-radius:8px}
.card>summary{display:flex;flex-wrap:wrap;gap:2px 12px;align-items:baseline;list-style:none}
.card>summary::-webkit-details-marker{display:none}
.card .verdict{font-size:.84rem;letter-spacing:.03em}
.card .verdict .m{position:relative;top:.1em}
.body{padding:0 18px 18px}
.body>*+*{margin-top:16px}
.pairs{display:grid;grid-template-columns:max-content 1fr;gap:6px 18px}
.pairs dt{padding-top:.13em}
.pairs .do{font-weight:600}
.evidence{list-style:none}
.evidence li{padding:5px 0;border-top:1px solid var(--line)}
.timed li{display:grid;grid-template-columns:11.2em 1fr;gap:0 14px}
.evidence li:first-child{border-top:0}
time,.when{color:var(--muted);white-space:nowrap}
table{border-collapse:collapse;width:100%;font-size:.94rem}
caption{text-align:left;color:var(--muted);font-size:.92rem;padding:0 0 8px}
th,td{text-align:left;vertical-align:top;padding:9px 16px 9px 0;border-top:1px solid var(--line)}
thead th{color:var(--muted);font-weight:500;font-size:.84rem;border-top:0;padding-top:4px;padding-bottom:4px}
tbody th{font-weight:600}
tbody th a{color:inherit;text-decoration-color:var(--muted);text-decoration-thickness:1px}
tbody th a:hover{color:var(--link)}
td .verdict,th .verdict{white-space:nowrap;font-size:.84rem}
td:last-child,th:last-child{padding-right:0}
.fold{border:1px solid var(--line);border-radius:8px;margin-top:14px}
.fold>summary{font-weight:600}
.more{margin-top:10px}
.more>summary{cursor:pointer;color:var(--muted);font-size:.92rem;padding:4px 0}
.more>.body{padding:8px 0 0}
.fold>.body{padding-top:4px}
.fold .block+.block{border-top:1px solid var(--line);padding-top:16px}
.block>*+*{margin-top:10px}
.block h3{display:flex;flex-wrap:wrap;gap:2px 12px;align-items:baseline}
.block .verdict{font-size:.84rem}
.list{padding-left:1.15em}
.list li+li{margin-top:6px}
.legend{display:flex;flex-wrap:wrap;gap:4px 22px;list-style:none;margin:12px 0 4px;font-size:.88rem;color:var(--muted)}
.legend li,.key li{display:inline-flex;align-items:center;gap:8px}
.legend svg,.key svg{flex:none}
.plot{margin-top:22px}
.plot figcaption{margin-bottom:8px}
.key{display:flex;flex-wrap:wrap;gap:2px 22px;list-style:none;font-size:.88rem}
.key .num{color:var(--muted)}
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,270px),1fr));gap:22px 26px;align-items:end}
.proof{grid-template-columns:repeat(auto-fit,minmax(min(100%,400px),1fr))}
.small figcaption{display:flex;flex-wrap:wrap;justify-content:space-between;gap:0 12px;font-size:.88rem;
margin-bottom:4px}
.small .num{color:var(--muted)}
.defs{position:absolute;width:0;height:0;overflow:hidden}
.t{font-size:12px;fill:var(--muted);paint-order:stroke;stroke:var(--bg);stroke-width:3px;stroke-linejoin:round}
.plot>svg,.small>svg{width:100%;overflow:visible}
.curve,.band,.curve path{vector-effect:non-scaling-stroke}
.curve{fill:none;stroke-width:1.8;stroke-linejoin:round;stroke-linecap:round}
.s1{stroke:var(--one)}.s2{stroke:var(--two);stroke-dasharray:7 3}.s3{stroke:var(--three);stroke-dasharray:2 4}
.band{fill:var(--band);stroke:var(--band);stroke-width:1;opacity:.75}
.rule{stroke:var(--line);stroke-width:1}
.tick{stroke:var(--line);stroke-width:1;stroke-dasharray:1 4}
.limit{stroke:var(--text);stroke-width:1.4;stroke-dasharray:5 4}
.t.limit-word{fill:var(--text)}
.bad{stroke:var(--fail);stroke-width:1.2;opacity:.6}
.meant{stroke:var(--muted);stroke-width:1;stroke-dasharray:2 3;opacity:.8}
.mark-bad{fill:var(--fail);stroke:var(--bg);stroke-width:1}
.mark-meant{fill:var(--bg);stroke:var(--muted);stroke-width:1.8}
.hatch{stroke:var(--muted);stroke-width:1.4;fill:none}
.dots{fill:var(--muted)}
.edge{stroke:var(--muted);stroke-width:.8}.meant-gap{stroke-dasharray:1 4}
.warm{fill:var(--panel)}.swatch{stroke:var(--line)}
footer{color:var(--muted);font-size:.88rem;padding-top:44px;padding-bottom:44px}
@media (max-width:640px){
body{font-size:15.5px}
main,.hero>div,footer{padding-left:16px;padding-right:16px}
.hero{padding:20px 0 22px}
.pairs,.timed li{grid-template-columns:1fr}
.pairs{gap:0}.pairs dd+dt{margin-top:8px}
h2{margin-top:42px}
.facts{grid-template-columns:1fr 1fr;gap:12px 14px;font-size:.93rem}
.wide,.wide tbody,.wide th,.wide td,.wide caption{display:block;width:auto}
.wide thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.wide tbody tr{display:grid;grid-template-columns:auto 1fr;gap:1px 12px;align-items:baseline;padding:10px 0;
border-top:1px solid var(--line)}
.wide th,.wide td{border:0;padding:0;grid-column:1/-1}
.wide td:first-child{grid-column:1}.wide td:first-child+th{grid-column:2}
.wide td[data-name]:not(:empty)::before{content:attr(data-name) ": ";color:var(--muted)}
.wide td:empty{display:none}
}
@page{size:A4;margin:14mm 13mm}
@media print{
body{font-size:10.2pt;line-height:1.4}
main,.hero>div,footer{max-width:none;padding-left:0;padding-right:0}
.hero{padding:10px 12px;-webkit-print-color-adjust:exact;print-color-adjust:exact}
h1{font-size:34pt}
h2{margin-top:26px;break-after:avoid}
.facts{grid-template-columns:repeat(4,1fr);gap:8px 16px;margin-top:14px}
.screen,.more,.block table{display:none}
details::details-content{content-visibility:visible;block-size:auto;display:block}
.card,.fold{border-radius:0}
.card>summary,.block h3,caption,thead{break-after:avoid}
figure,tr,.block,.evidence li{break-inside:avoid}
.plot,.small,.m,.legend{-webkit-print-color-adjust:exact;print-color-adjust:exact}
a{color:inherit;text-decoration:none}
}
"""


def style() -> str:
    """All rules, as they stand within <style>. Paper is always light."""
    dark = f"@media screen and (prefers-color-scheme:dark){{:root{{{_variables(DARK)}}}}}"
    return f":root{{color-scheme:light dark;{_variables(LIGHT)}}}\n{dark}{_RULES}"


def _variables(colours: dict[str, str]) -> str:
    return ";".join(f"--{name}:{value}" for name, value in colours.items())
