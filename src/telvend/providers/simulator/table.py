"""Which subscriber's number makes the simulator do what: the one table that code, tests and documentation read.

The last four digits steer. `telvend simulator table` prints `markdown()`; the tests walk `TABLE`.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from telvend.providers.contract import Accepted, Delivered, NotSent, Outcome, Reason, Refused, Unknown


class AnswerForm(StrEnum):
    """How the far side answers a delivery, whatever it did."""

    GOOD = "good"
    """The truth, well formed."""
    SILENCE = "silence"
    """Nothing, until the client gives up."""
    GARBAGE = "garbage"
    """Text that is not the answer's format."""
    SERVER_ERROR = "server error"
    """HTTP 500."""
    UNDOCUMENTED = "undocumented"
    """Well formed, with a status word that no manual has."""
    NO_CONNECTION = "no connection"
    """The connection is refused; nothing arrives."""


class Act(StrEnum):
    """What the far side does with a delivery."""

    DELIVERS = "delivers"
    DELIVERS_LATER = "delivers later"
    """Accepts; delivers `later_s` afterwards, when it is asked."""
    REFUSES = "refuses"
    REFUSES_LATER = "refuses later"
    """Accepts; refuses `later_s` afterwards, when it is asked."""
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One row of the table.

    `delay_s` passes before the act, `drip_s` between the act and the end of the answer. `mute`: no question is ever
    answered. `first` is the outcome of `deliver`, `settled` what `ask` says in the end; whether the subscriber has it
    then is `delivers`.
    """

    ending: str
    sentence: str
    first: type[Outcome]
    settled: type[Outcome]
    act: Act = Act.DELIVERS
    answer: AnswerForm = AnswerForm.GOOD
    delay_s: float = 0.0
    later_s: float = 0.0
    drip_s: float = 0.0
    reason: Reason | None = None
    mute: bool = False

    @property
    def delivers(self) -> bool:
        """Whether the subscriber has it in the end."""
        return self.act in (Act.DELIVERS, Act.DELIVERS_LATER)


TABLE: Final = (
    Behaviour("0000", "Delivered at once.", Delivered, Delivered),
    Behaviour("0001", "Delivered after 2 s.", Delivered, Delivered, delay_s=2),
    Behaviour(
        "0002", "Accepted, then delivered: 3 s later, when asked.", Accepted, Delivered, Act.DELIVERS_LATER, later_s=3
    ),
    Behaviour(
        "0003",
        "Accepted, then refused: 3 s later, when asked.",
        Accepted,
        Refused,
        Act.REFUSES_LATER,
        later_s=3,
        reason=Reason.BARRED,
    ),
    Behaviour("0004", "Refused for good: no such number.", Refused, Refused, Act.REFUSES, reason=Reason.BAD_NUMBER),
    Behaviour("0005", "Refused, may be tried elsewhere.", Refused, Refused, Act.REFUSES, reason=Reason.NOT_SOLD),
    Behaviour("0006", "Delivers and then times out.", Unknown, Delivered, answer=AnswerForm.SILENCE),
    Behaviour("0007", "Times out without delivering.", Unknown, NotSent, Act.NOTHING, AnswerForm.SILENCE),
    Behaviour("0008", "Delivers and answers garbage.", Unknown, Delivered, answer=AnswerForm.GARBAGE),
    Behaviour("0009", "Delivers; the answer drips in over 5 s, then is fine.", Delivered, Delivered, drip_s=5),
    Behaviour("0010", "Connection refused.", NotSent, NotSent, Act.NOTHING, AnswerForm.NO_CONNECTION),
    Behaviour("0011", "Answers garbage without delivering.", Unknown, NotSent, Act.NOTHING, AnswerForm.GARBAGE),
    Behaviour("0012", "Delivers and answers HTTP 500.", Unknown, Delivered, answer=AnswerForm.SERVER_ERROR),
    Behaviour("0013", "Answers HTTP 500 without delivering.", Unknown, NotSent, Act.NOTHING, AnswerForm.SERVER_ERROR),
    Behaviour(
        "0014",
        "Delivers and answers a status word nobody documented.",
        Unknown,
        Delivered,
        answer=AnswerForm.UNDOCUMENTED,
    ),
    Behaviour(
        "0015",
        "Accepted, and nothing but accepted for 10 minutes; then delivered, when asked.",
        Accepted,
        Delivered,
        Act.DELIVERS_LATER,
        later_s=600,
    ),
    Behaviour(
        "0016",
        "Delivers, times out, and never answers a question: a person must decide.",
        Unknown,
        Unknown,
        answer=AnswerForm.SILENCE,
        mute=True,
    ),
    Behaviour(
        "0017",
        "Times out without delivering, and never answers a question: a person must decide.",
        Unknown,
        Unknown,
        Act.NOTHING,
        AnswerForm.SILENCE,
        mute=True,
    ),
    Behaviour(
        "0018",
        "Refused: our float with it is empty. Ours to mend.",
        Refused,
        Refused,
        Act.REFUSES,
        reason=Reason.NO_FLOAT,
    ),
    Behaviour("0019", "Delivered after 10 s; the line is kept open meanwhile.", Delivered, Delivered, delay_s=10),
)

ORDINARY: Final = Behaviour("", "Delivered after about 1 s (0.8 to 1.2 s).", Delivered, Delivered, delay_s=1)
AT_ONCE: Final = TABLE[0]

LONGEST_S: Final = max(behaviour.delay_s + behaviour.drip_s for behaviour in TABLE)
"""How long the slowest answer that does come takes."""

_BY_ENDING: Final = {behaviour.ending: behaviour for behaviour in TABLE}


def behaviour_of(subscriber: str) -> Behaviour:
    """What the simulator does for this number, in any of its spellings."""
    return _BY_ENDING.get(subscriber[-4:], ORDINARY)


def markdown() -> str:
    """The table for people, as the documentation prints it."""
    head = (
        "| number ends in | what happens | first answer | asked about it, in the end | the subscriber has it |",
        "|---|---|---|---|---|",
    )
    return "\n".join((*head, *(_row(behaviour) for behaviour in (*TABLE, ORDINARY)))) + "\n"


def _row(behaviour: Behaviour) -> str:
    ending = f"`{behaviour.ending}`" if behaviour.ending else "anything else"
    has_it = "yes" if behaviour.delivers else "no"
    return f"| {ending} | {behaviour.sentence} | `{behaviour.first.__name__}` | `{behaviour.settled.__name__}` | {has_it} |"
