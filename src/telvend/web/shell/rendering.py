"""Templates: Jinja2, each compiled when it is first shown, autoescaped, and without undefined names.

What templates may call besides their context, in every file: `money(amount)`, `when(moment)`, `day(date)`, `badge(state)`,
`icon(name)`, `asset(name)`. Macros for forms, tables and charts stand in `shell/macros.html`.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from telvend.kit.money import Money
from telvend.kit.numbering import shown_number
from telvend.web.shell import formats
from telvend.web.shell.assets import Assets

DEFAULT_ZONE: Final = "Africa/Lagos"
"""The zone of times on pages that nobody has signed in to."""


class Templates:
    """Every template of the package, ready to render."""

    def __init__(self, assets: Assets) -> None:
        self._environment = Environment(
            loader=PackageLoader("telvend.web", "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
            cache_size=-1,
        )
        sprite = assets.path("icons.svg")

        def icon(name: str, label: str = "") -> Markup:
            """A picture of the sprite; it is read out only where it has a label."""
            read = Markup(' role="img" aria-label="{}"').format(label) if label else Markup(' aria-hidden="true"')
            return Markup('<svg class="icon"{} focusable="false"><use href="{}#{}"/></svg>').format(read, sprite, name)

        self._environment.globals |= {
            "icon": icon,
            "asset": assets.path,
            "money": _money,
            "when": _when,
            "day": _day,
            "badge": _badge,
            "bars": bars,
        }
        self._environment.filters |= {"money": formats.money_text, "words": formats.words_of, "number": shown_number}

    def names(self) -> list[str]:
        """Every template there is."""
        return self._environment.list_templates()

    def compile(self, name: str) -> None:
        """Compile a template now. Raises TemplateError where it has a mistake."""
        self._environment.get_template(name)

    def render(self, name: str, context: dict[str, Any]) -> str:
        """Render a whole template. Raises TemplateError, which is a bug."""
        return self._environment.get_template(name).render(context)

    def fragment(self, name: str, block: str, context: dict[str, Any]) -> str:
        """Render one block of a template, as it stands in the file itself."""
        template = self._environment.get_template(name)
        # Imports and values at the top of the file are known once its body has run; in a child it ends at the parent.
        inner = template.new_context(context)
        for _ in template.root_render_func(inner):
            break
        return "".join(template.blocks[block](inner))


def _money(amount: Money) -> Markup:
    return Markup('<span class="money">{}</span>').format(formats.money_text(amount))


def zone_in(context: Context) -> str:
    """The zone in which the page shows times."""
    visitor = context.get("visitor")
    return visitor.person.zone if visitor is not None else DEFAULT_ZONE


@pass_context
def _when(context: Context, at: datetime | None, otherwise: str = "–", *, seconds: bool = False) -> Markup:
    if at is None:
        return Markup("{}").format(otherwise)
    text = formats.time_text(at, zone_in(context), seconds=seconds)
    return Markup('<time datetime="{}">{}</time>').format(formats.iso_text(at), text)


def _day(day: date) -> Markup:
    return Markup('<time datetime="{}">{}</time>').format(day.isoformat(), formats.date_text(day))


def _badge(state: object, words: str | None = None, tone: str | None = None) -> Markup:
    """A state in words and colour; `words` in place of the state's own name."""
    text = str(state)
    return Markup('<span class="badge badge-{}">{}</span>').format(
        tone or formats.tone_of(text), formats.words_of(text) if words is None else words
    )


def bars(points: Sequence[tuple[str, int, str]], height: int = 96) -> Iterable[dict[str, Any]]:
    """Where the bars of a chart stand: of each point (label, value, text) its x, y, width and height in whole units."""
    most = max((value for _, value, _ in points), default=0)
    step = 12
    for number, (label, value, text) in enumerate(points):
        tall = max(2, value * height // most) if value > 0 and most else 1
        yield {"x": number * step + 1, "y": height - tall, "width": step - 3, "height": tall, "label": label, "text": text,
               "empty": value <= 0}  # fmt: skip
