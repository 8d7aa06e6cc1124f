"""Matching the attempts of a day with the transactions of the far side. No database, no network.

    matching = Matching(attempts)
    for line in statement: matching.add(line)          # any number of lines; those of other days are forgotten at once
    matching.know(found)                               # attempts of other days, by the references of `matching.strangers`
    report = matching.report()

A line belongs to the attempt whose reference it has, ours or theirs. A line without a known reference belongs to an attempt
for the same number and amount that began within a quarter of an hour of it, where the statement does not have our references
and no other line is the attempt's.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from telvend.kit.money import Currency, Money
from telvend.orders.model import AttemptState
from telvend.providers.upstream import LineStatus, StatementLine

BEFORE: Final = timedelta(days=1)
AFTER: Final = timedelta(hours=1)
"""How far around the day attempts are read: a line of the day may be that of an attempt just before or after it."""

NEAR: Final = timedelta(minutes=15)
"""How far an attempt and a line without its reference may be apart."""

_COMPARED_DIGITS: Final = 9
"""The last digits of a number, which all of its spellings have."""


@dataclass(frozen=True, slots=True)
class Day:
    """A day of the calendar in the shop's zone: from `begins_at`, before `ends_at`."""

    calendar_date: date
    zone: str
    begins_at: datetime
    ends_at: datetime

    @classmethod
    def of(cls, day: date, zone: ZoneInfo) -> "Day":
        """The day in this zone; 23 or 25 hours long where the clock is put on or back."""
        begins_at, ends_at = (
            datetime(one.year, one.month, one.day, tzinfo=zone).astimezone(UTC)
            for one in (day, day + timedelta(days=1))
        )
        return cls(day, zone.key, begins_at, ends_at)

    def has(self, at: datetime) -> bool:
        """Whether a moment is in it."""
        return self.begins_at <= at < self.ends_at

    def has_line(self, line: StatementLine) -> bool:
        """Whether a transaction is of this day. One without a time may be of any, and is; of a whole day, it is that day's."""
        if line.at is None:
            return True
        return line.at.date() == self.calendar_date if line.whole_day else self.has(line.at)


class KnownAttempt(msgspec.Struct, gc=False):
    """An attempt or a trial as we have it. `order_id` and `order_reference` are empty for a trial.

    `state` is what counts by now: what a provider said late against a person is taken in. `cost_minor` is what the ledger has for
    it. `on_day`: it began on the day that is reconciled. `unbooked`: it was delivered, and the ledger has no cost of it, since a person
    has decided the order against it. `decided`: a late report of it may still be entered.
    """

    order_id: int | None
    order_reference: str
    order_state: str
    reseller_id: str
    number: int
    reference: str
    provider_reference: str
    state: AttemptState
    started_at: datetime
    kind: str
    country: str
    network: str
    product: str
    size: str
    validity_days: int | None
    type: str
    provider_code: str
    subscriber: str
    currency: Currency
    face_minor: int
    cost_minor: int
    age_s: float
    on_day: bool
    unbooked: bool = False
    decided: bool = False

    @property
    def cost(self) -> Money:
        return Money(self.cost_minor, self.currency)

    @property
    def face(self) -> Money:
        return Money(self.face_minor, self.currency)


class Side(StrEnum):
    """The lists of a reconciliation."""

    ONLY_HERE = "only_here"
    """Delivered by our books; the provider does not know it, or says that it failed."""
    ONLY_THERE = "only_there"
    """Delivered by the provider; our books do not know it, or have it failed, or once only."""
    DIFFERENT = "different"
    """Known on both sides, with another status, cost, number or reference; or open here."""


class Aspect(StrEnum):
    """What does not agree."""

    STATUS = "status"
    COST = "cost"
    AMOUNT = "amount"
    NUMBER = "number"
    REFERENCE = "reference"
    TWICE = "twice"
    """The provider has delivered more than once under one reference."""


@dataclass(frozen=True, slots=True)
class Contradiction:
    """What the provider's side says against the decision of a person. `charged`: what it took; None where it does not say.

    `attempt` is ours, of an order that is final.
    """

    attempt: KnownAttempt
    delivered: bool
    charged: Money | None
    word: str


@dataclass(frozen=True, slots=True)
class Leftover:
    """One thing that is left over. `attempt` is ours, `line` theirs; one of them may be missing. `times`: deliveries there."""

    side: Side
    aspects: tuple[Aspect, ...]
    attempt: KnownAttempt | None
    line: StatementLine | None
    there: LineStatus | None
    times: int = 1


@dataclass(slots=True)
class Costs:
    """What a day's deliveries cost, by our ledger and by the provider."""

    ledger_minor: int = 0
    charged_minor: int = 0
    unsaid: int = 0
    """Deliveries whose cost the provider does not say in this currency: our own is counted for theirs."""

    @property
    def difference_minor(self) -> int:
        """What the provider took more than the ledger has."""
        return self.charged_minor - self.ledger_minor


@dataclass(slots=True)
class Comparison:
    """What a reconciliation has found.

    `matched`: attempts of the day on which both sides agree. `undelivered`: of these, how many neither side has delivered.
    `by_number`: how many attempts were found by number and amount. `lines`: transactions that were read; `other_days`: of these,
    how many belong to other days. `last_line_at` is the time of the last one. `elsewhere`: what was taken in currencies in which the
    ledger does not have these costs, in minor units.
    """

    attempts: int = 0
    matched: int = 0
    undelivered: int = 0
    by_number: int = 0
    lines: int = 0
    other_days: int = 0
    last_line_at: datetime | None = None
    leftovers: list[Leftover] = field(default_factory=list)
    costs: dict[Currency, Costs] = field(default_factory=dict)
    elsewhere: dict[Currency, int] = field(default_factory=dict)
    late: list[Contradiction] = field(default_factory=list)
    """What was entered as late reports, before the books were compared."""

    def of(self, side: Side) -> list[Leftover]:
        """What is left over on one side."""
        return [one for one in self.leftovers if one.side is side]

    @property
    def agrees(self) -> bool:
        return not self.leftovers


class Matching:
    """See the head of this file. `attempts` are those of the day and around it."""

    def __init__(self, day: Day, attempts: Iterable[KnownAttempt]) -> None:
        self._day = day
        self._attempts: list[KnownAttempt] = []
        self._by_reference: dict[str, int] = {}
        self._by_theirs: dict[str, int] = {}
        self._lines: dict[int, list[StatementLine]] = {}
        self._strangers: list[StatementLine] = []
        self._seen: set[tuple[object, ...]] = set()
        self._has_ours = self._has_theirs = False
        self._report = Comparison()
        for attempt in attempts:
            self._take(attempt)

    def _take(self, attempt: KnownAttempt) -> int:
        index = len(self._attempts)
        self._attempts.append(attempt)
        self._by_reference.setdefault(attempt.reference, index)
        if attempt.provider_reference:
            self._by_theirs.setdefault(attempt.provider_reference, index)
        return index

    # Lines ----------------------------------------------------------------------------------------------------------------

    def add(self, line: StatementLine) -> None:
        """Take a line in. One that was there already, as in a second export that overlaps, changes nothing."""
        report = self._report
        index = self._index_of(line)
        if index is None and not self._is_near(line):
            report.lines += 1
            report.other_days += 1
            return
        # Without a reference of theirs, two that are alike are two: only they know whether they are one.
        if line.provider_reference:
            mark = (line.provider_reference, line.reference, line.status, line.takes_back, line.charged, line.amount)
            if mark in self._seen:
                return
            self._seen.add(mark)
        report.lines += 1
        if line.at is not None and (report.last_line_at is None or line.at > report.last_line_at):
            report.last_line_at = line.at
        if index is None:
            self._strangers.append(line)
        else:
            self._lines.setdefault(index, []).append(line)

    def _index_of(self, line: StatementLine) -> int | None:
        for text in filter(None, (line.reference, line.provider_reference)):
            if (index := self._by_reference.get(text)) is not None:
                self._has_ours = True
                return index
        for text in filter(None, (line.provider_reference, line.reference)):
            if (index := self._by_theirs.get(text)) is not None:
                self._has_theirs = True
                return index
        return None

    def _is_near(self, line: StatementLine) -> bool:
        """Whether a line without a known reference may matter: it is of the day, or so close that its attempt may be."""
        if line.at is None or line.whole_day or self._day.has_line(line):
            return self._day.has_line(line)
        return self._day.begins_at - NEAR <= line.at < self._day.ends_at + NEAR

    @property
    def strangers(self) -> list[str]:
        """The references on lines that belong to no attempt so far."""
        return [text for line in self._strangers for text in (line.reference, line.provider_reference) if text]

    def know(self, attempts: Iterable[KnownAttempt]) -> None:
        """Take in attempts of other days that the strangers may belong to."""
        for attempt in attempts:
            if attempt.reference not in self._by_reference:
                self._take(attempt)
        before, self._strangers = self._strangers, []
        for line in before:
            index = self._index_of(line)
            if index is None:
                self._strangers.append(line)
            else:
                self._lines.setdefault(index, []).append(line)

    def refresh(self, attempts: Iterable[KnownAttempt]) -> None:
        """Take over what has become of attempts since they were read. One without a line stays as it was before the lines."""
        for attempt in attempts:
            index = self._by_reference.get(attempt.reference)
            if index in self._lines and index is not None:
                self._attempts[index] = attempt

    # What was said against a person -----------------------------------------------------------------------------------------

    def contradictions(self) -> list[Contradiction]:
        """What lines with a known reference say of attempts that a person has decided; one delivery at most, and definite."""
        found = []
        for index, lines in self._lines.items():
            attempt = self._attempts[index]
            told = _Told.of(lines)
            if not attempt.decided or told.line is None or told.times > 1:
                continue
            delivered = attempt.state is AttemptState.DELIVERED
            if told.status is LineStatus.DELIVERED and (attempt.unbooked or not delivered):
                found.append(Contradiction(attempt, True, told.line.charged, told.line.word))
            elif told.status is LineStatus.FAILED and delivered and not attempt.unbooked:
                found.append(Contradiction(attempt, False, None, told.line.word))
        return found

    def entered(self, contradictions: Sequence[Contradiction]) -> None:
        """Count these as they are in the books by now."""
        for one in contradictions:
            attempt = one.attempt
            attempt.decided = attempt.unbooked = False
            attempt.state = AttemptState.DELIVERED if one.delivered else AttemptState.REFUSED
            if one.charged is not None and one.charged.currency == attempt.currency:
                attempt.cost_minor = one.charged.minor
        self._report.late += contradictions

    # The report -----------------------------------------------------------------------------------------------------------

    def report(self) -> Comparison:
        """Say what agrees and what does not. Once."""
        groups = self._match_by_number(_grouped(self._strangers))
        report = self._report
        for index, attempt in enumerate(self._attempts):
            self._judge(attempt, self._lines.get(index, []))
        for lines in groups:
            self._judge_strangers(lines)
        report.leftovers.sort(key=_order_of)
        return report

    def _match_by_number(self, groups: list[list[StatementLine]]) -> list[list[StatementLine]]:
        """Give strangers to attempts without a line: number, amount and time agree. The nearest in time first."""
        wanted: dict[str, list[int]] = {}
        if groups:
            for index, attempt in enumerate(self._attempts):
                if index not in self._lines and not (self._has_theirs and attempt.provider_reference):
                    wanted.setdefault(_digits(attempt.subscriber), []).append(index)
        wanted.pop("", None)
        pairs = sorted(
            (distance, index, position)
            for position, (line, *_) in enumerate(groups)
            if not (line.reference and self._has_ours)
            for index in wanted.get(_digits(line.subscriber), ())
            if (distance := _distance(self._attempts[index], line, self._day)) is not None
        )
        taken: set[int] = set()
        for _, index, position in pairs:
            if index not in self._lines and position not in taken:
                taken.add(position)
                self._lines[index] = groups[position]
                self._report.by_number += self._attempts[index].on_day
        return [lines for position, lines in enumerate(groups) if position not in taken]

    def _judge(self, attempt: KnownAttempt, lines: list[StatementLine]) -> None:
        report = self._report
        told = _Told.of(lines)
        found = self._leftover(attempt, told)
        if not attempt.on_day:
            # Another day's; it is only said here where it would be money, and its own day is perhaps over.
            report.other_days += len(lines)
            if found is not None and found.side is Side.ONLY_THERE and any(map(self._day.has_line, lines)):
                report.leftovers.append(found)
                self._count(attempt, told)
            return
        report.attempts += 1
        self._count(attempt, told)
        if found is not None:
            report.leftovers.append(found)
            return
        report.matched += 1
        report.undelivered += attempt.state is not AttemptState.DELIVERED

    def _leftover(self, attempt: KnownAttempt, told: "_Told") -> Leftover | None:
        there, line = told.status, told.line
        delivered = attempt.state is AttemptState.DELIVERED
        if told.times > 1:
            return Leftover(Side.ONLY_THERE, (Aspect.TWICE,), attempt, line, there, told.times)
        if there is LineStatus.DELIVERED and line is not None:
            if delivered and attempt.unbooked:
                return Leftover(Side.ONLY_THERE, (Aspect.STATUS,), attempt, line, there)
            if delivered:
                aspects = self._aspects(attempt, line)
                return Leftover(Side.DIFFERENT, aspects, attempt, line, there) if aspects else None
            side = Side.DIFFERENT if attempt.state.open else Side.ONLY_THERE
            return Leftover(side, (Aspect.STATUS,), attempt, line, there)
        if delivered:
            side = Side.ONLY_HERE if there in (None, LineStatus.FAILED) else Side.DIFFERENT
            return Leftover(side, (Aspect.STATUS,), attempt, line, there)
        if attempt.state.open or there in (LineStatus.PENDING, LineStatus.UNKNOWN):
            return Leftover(Side.DIFFERENT, (Aspect.STATUS,), attempt, line, there)
        return None

    def _aspects(self, attempt: KnownAttempt, line: StatementLine) -> tuple[Aspect, ...]:
        """What does not agree of a delivery on which both sides agree."""
        found = []
        # What is in the currency of a float elsewhere cannot be compared.
        if line.charged is not None and line.charged.currency == attempt.currency and line.charged != attempt.cost:
            found.append(Aspect.COST)
        if (
            line.amount is not None
            and line.amount.currency == attempt.currency
            and line.amount not in (attempt.cost, attempt.face)
        ):
            found.append(Aspect.AMOUNT)
        digits = _digits(line.subscriber)
        if digits and (known := _digits(attempt.subscriber)) and digits != known:
            found.append(Aspect.NUMBER)
        if (
            self._has_theirs
            and attempt.provider_reference
            and line.provider_reference
            and attempt.provider_reference not in (line.provider_reference, line.reference)
        ) or (
            self._has_ours and line.reference and line.reference not in (attempt.reference, attempt.provider_reference)
        ):
            found.append(Aspect.REFERENCE)
        return tuple(found)

    def _judge_strangers(self, lines: list[StatementLine]) -> None:
        if not any(map(self._day.has_line, lines)):
            self._report.other_days += len(lines)
            return
        told = _Told.of(lines)
        if told.status is LineStatus.FAILED:
            return  # Nothing was delivered, and nothing of it is here.
        if told.status is not LineStatus.DELIVERED:
            self._report.leftovers.append(Leftover(Side.DIFFERENT, (Aspect.STATUS,), None, told.line, told.status))
            return
        aspects = (Aspect.STATUS, Aspect.TWICE) if told.times > 1 else (Aspect.STATUS,)
        self._report.leftovers.append(Leftover(Side.ONLY_THERE, aspects, None, told.line, told.status, told.times))
        for line in told.deliveries:
            if (taken := line.charged or line.amount) is not None:
                self._costs(taken.currency).charged_minor += taken.minor

    def _count(self, attempt: KnownAttempt, told: "_Told") -> None:
        costs = self._costs(attempt.currency)
        if attempt.state is AttemptState.DELIVERED and attempt.on_day and not attempt.unbooked:
            costs.ledger_minor += attempt.cost_minor
        for line in told.deliveries:
            taken = line.charged
            if taken is None and line.amount is not None and line.amount != attempt.face:
                taken = line.amount
            if taken is not None and taken.currency == attempt.currency:
                costs.charged_minor += taken.minor
                continue
            costs.unsaid += 1
            costs.charged_minor += attempt.cost_minor
            if taken is not None:
                elsewhere = self._report.elsewhere
                elsewhere[taken.currency] = elsewhere.get(taken.currency, 0) + taken.minor

    def _costs(self, currency: Currency) -> Costs:
        return self._report.costs.setdefault(currency, Costs())


@dataclass(frozen=True, slots=True)
class _Told:
    """What all lines of an attempt say together. `deliveries`: those that stand, each once; `line` is the one to show."""

    status: LineStatus | None
    times: int
    line: StatementLine | None
    deliveries: list[StatementLine]

    @classmethod
    def of(cls, lines: list[StatementLine]) -> "_Told":
        if not lines:
            return cls(None, 0, None, [])
        # Several lines under one transaction are the history of it, in whichever order: what ends it counts.
        ended = {
            line.provider_reference
            for line in lines
            if line.provider_reference and (line.status is LineStatus.FAILED or line.takes_back)
        }
        delivered: Mapping[object, StatementLine] = {
            line.provider_reference or number: line
            for number, line in enumerate(lines)
            if line.status is LineStatus.DELIVERED and not line.takes_back and line.provider_reference not in ended
        }
        taking = {line.provider_reference for line in lines if line.provider_reference and not line.takes_back}
        given_back = sum(line.takes_back and line.provider_reference not in taking for line in lines)
        standing = list(delivered.values())[given_back:]
        if standing:
            return cls(LineStatus.DELIVERED, len(standing), standing[-1], standing)
        for status in (LineStatus.PENDING, LineStatus.UNKNOWN):
            found = [line for line in lines if line.status is status and line.provider_reference not in ended]
            if found and not given_back:
                return cls(status, 0, found[-1], [])
        return cls(LineStatus.FAILED, 0, lines[-1], [])


def _grouped(lines: Iterable[StatementLine]) -> list[list[StatementLine]]:
    """Lines of one transaction together: those with the same reference. One that takes something comes first."""
    groups: dict[object, list[StatementLine]] = {}
    for number, line in enumerate(lines):
        groups.setdefault(line.reference or line.provider_reference or number, []).append(line)
    for group in groups.values():
        group.sort(key=lambda line: line.takes_back)
    return list(groups.values())


def _digits(number: str) -> str:
    """The digits that every spelling of a number has; empty where some of them are hidden, or there are too few."""
    digits = "".join(character for character in number if character not in " +-()")
    return digits[-_COMPARED_DIGITS:] if digits.isdecimal() and len(digits) >= _COMPARED_DIGITS else ""


def _distance(attempt: KnownAttempt, line: StatementLine, day: Day) -> timedelta | None:
    """How far a line is from an attempt in time; None where it cannot be the attempt's."""
    amounts = {one for one in (line.charged, line.amount) if one is not None and one.currency == attempt.currency}
    if amounts and not amounts & {attempt.cost, attempt.face}:
        return None
    if line.at is None or line.whole_day:
        return NEAR if attempt.on_day and day.has_line(line) else None
    distance = abs(line.at - attempt.started_at)
    return distance if distance <= NEAR else None


def _order_of(leftover: Leftover) -> tuple[int, datetime]:
    """Money that may be lost first; then by time."""
    at = leftover.attempt.started_at if leftover.attempt is not None else leftover.line.at if leftover.line else None
    return (Side.ONLY_THERE, Side.ONLY_HERE, Side.DIFFERENT).index(leftover.side), at or datetime.max.replace(
        tzinfo=UTC
    )


@dataclass(frozen=True, slots=True)
class Reconciled:
    """A reconciliation as it was recorded. `source`: statement, list or requery. `digest` is that of the statement's bytes."""

    id: int
    provider: str
    day: date
    zone: str
    source: str
    digest: str
    lines: int
    attempts: int
    matched: int
    only_here: int
    only_there: int
    different: int
    costs: Mapping[Currency, Costs]
    by_whom: str
    made_at: datetime

    @property
    def agrees(self) -> bool:
        return not (self.only_here or self.only_there or self.different)


def chunks(begins_at: datetime, ends_at: datetime) -> Iterator[tuple[datetime, datetime]]:
    """The time between these moments in hours, so that a busy day is read in pieces."""
    at = begins_at
    while at < ends_at:
        following = min(at + timedelta(hours=1), ends_at)
        yield at, following
        at = following
