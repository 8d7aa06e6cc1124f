"""HTML without surprises: templates are constants, and whatever is put into them is escaped unless it is HTML already.

page = fill("<p>{name}</p>", name="<b>")      # Markup('<p>&lt;b&gt;</p>')
"""

import base64
import hashlib
from html import escape
from typing import Final

from starlette.responses import Response


class Markup(str):
    """Text that is HTML already. Only `fill` and constants make it."""

    __slots__ = ()


def fill(template: str, /, **values: object) -> Markup:
    """Put values into the places `{name}` of a constant template. Not for styles or scripts: they have braces."""
    return Markup(
        template.format_map(
            {
                name: value if isinstance(value, Markup) else escape(str(value), quote=True)
                for name, value in values.items()
            }
        )
    )


STYLE: Final = """
:root { color-scheme: light dark; --back: #f4f5f7; --card: #ffffff; --ink: #16202c; --soft: #566273; --line: #d5dae1;
  --accent: #0b6b4f; --accent-ink: #ffffff; --note: #fff4d6; --note-ink: #5c4300; }
@media (prefers-color-scheme: dark) { :root { --back: #11161d; --card: #1a212b; --ink: #e9eef5; --soft: #a3b0c0;
  --line: #34404f; --accent: #35c596; --accent-ink: #062117; --note: #3a2f10; --note-ink: #ffe2a0; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; background: var(--back); color: var(--ink);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 26rem; margin: 0 auto; padding: 1rem; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: .75rem; padding: 1.25rem; }
.card + .card { margin-top: 1rem; }
.note { background: var(--note); color: var(--note-ink); border-radius: .5rem; padding: .75rem 1rem; margin: 0 0 1rem; }
h1 { font-size: 1.1rem; font-weight: 600; margin: 0; }
.amount { font-size: 2rem; font-weight: 700; margin: .25rem 0; overflow-wrap: anywhere; }
.soft { color: var(--soft); margin: 0 0 1rem; overflow-wrap: anywhere; }
.links { margin: .75rem 0 0; }
a { color: var(--accent); }
fieldset { border: 0; padding: 0; margin: 0 0 1rem; display: flex; flex-wrap: wrap; gap: .5rem; }
legend { padding: 0; margin-bottom: .5rem; color: var(--soft); }
.way { position: absolute; opacity: 0; }
.way + label { flex: 1 1 auto; text-align: center; padding: .6rem .75rem; border: 1px solid var(--line);
  border-radius: .5rem; cursor: pointer; }
.way:checked + label { border-color: var(--accent); box-shadow: inset 0 0 0 1px var(--accent); font-weight: 600; }
.way:focus-visible + label, button:focus-visible, a:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.panel { display: none; flex: 1 0 100%; border: 1px dashed var(--line); border-radius: .5rem; padding: .75rem 1rem; }
#card:checked ~ .card-panel, #bank_transfer:checked ~ .bank_transfer-panel, #ussd:checked ~ .ussd-panel { display: block; }
.panel dl { margin: 0; display: grid; grid-template-columns: auto 1fr; gap: .25rem 1rem; }
.panel dt { color: var(--soft); }
.panel dd { margin: 0; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
button, .button { display: block; width: 100%; font: inherit; text-align: center; text-decoration: none; padding: .75rem 1rem;
  margin-top: .5rem; border-radius: .5rem; border: 1px solid var(--line); background: transparent; color: var(--ink);
  cursor: pointer; }
button.main, .button.main { background: var(--accent); border-color: var(--accent); color: var(--accent-ink); font-weight: 600; }
@media (min-width: 40rem) { main { padding-top: 4rem; } }
"""

# Pages hold nothing from elsewhere and run no scripts. Forms may lead anywhere, since a browser counts the redirect that
# follows them, and where payers go afterwards is the shop's customers' business.
_POLICY: Final = (
    "default-src 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    + "'; base-uri 'none'; frame-ancestors 'none'"
)

_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{title}</title>
{extra}<style>{style}</style>
</head>
<body><main>{body}</main></body>
</html>
"""


class HtmlPage(Response):
    """A whole page. Site adds the headers that pages have in common."""

    media_type = "text/html"

    def __init__(
        self,
        title: str,
        body: Markup,
        *,
        status_code: int = 200,
        refresh_s: int | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        """`refresh_s`: the browser loads the page again after so many seconds."""
        extra = Markup("") if refresh_s is None else fill('<meta http-equiv="refresh" content="{s}">\n', s=refresh_s)
        text = fill(_PAGE, title=title, extra=extra, style=Markup(STYLE), body=body)
        super().__init__(
            text,
            status_code,
            {"content-security-policy": _POLICY, **(headers or {})},
        )
