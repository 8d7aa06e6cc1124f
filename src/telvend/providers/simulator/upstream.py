"""The far side of the simulator: what a real vendor does behind its API. It acts as `table.py` says, writes its book,
and answers in the words of `wire.py`, or badly.

Nothing is written until the act itself, and the act is one write: whoever is killed or cancelled before it has
delivered nothing, whoever comes after it finds it in the book.
"""

import zlib
from typing import Final

import msgspec

from telvend.kit.clock import Clock
from telvend.providers.contract import Delivery
from telvend.providers.simulator.book import Book, BookState, Line, asking, delivering
from telvend.providers.simulator.secrets import secrets_of
from telvend.providers.simulator.table import AT_ONCE, ORDINARY, Act, AnswerForm, Behaviour, behaviour_of
from telvend.providers.simulator.wire import REASON_BY_CODE, Body, Reply, Status

STATUS_BY_STATE: Final = {
    BookState.DELIVERED: Status.DELIVERED,
    BookState.ACCEPTED: Status.ACCEPTED,
    BookState.REFUSED: Status.REFUSED,
    BookState.CLOSED: Status.CLOSED,
}
_CODE_BY_REASON: Final = {reason: code for code, reason in REASON_BY_CODE.items()}
_TEXT_BY_STATE: Final = {
    BookState.DELIVERED: "Delivered",
    BookState.ACCEPTED: "Accepted, on its way",
    BookState.REFUSED: "Refused",
    BookState.CLOSED: "Not known when it was asked about, and not taken any more",
}
_WRITTEN_BY_ACT: Final = {
    Act.DELIVERS: (BookState.DELIVERED, None),
    Act.DELIVERS_LATER: (BookState.ACCEPTED, BookState.DELIVERED),
    Act.REFUSES: (BookState.REFUSED, None),
    Act.REFUSES_LATER: (BookState.ACCEPTED, BookState.REFUSED),
}
_GARBAGE: Final = Reply(200, b'\xff\xfe<HTML><TITLE>It works!</TITLE> {"status": ')
_SERVER_ERROR: Final = Reply(500, b"<html><h1>500 Internal Server Error</h1></html>")


class PretendedUpstream:
    """The pretended vendor. Raises ConnectionRefusedError and TimeoutError as a transport would, and BookUnavailable.

    `patience_s` is how long the client waits for a word; silence lasts exactly as long.
    """

    def __init__(self, name: str, book: Book, clock: Clock, *, steered: bool, patience_s: float) -> None:
        self._name = name
        self._book = book
        self._clock = clock
        self._steered = steered
        self._patience_s = patience_s

    async def deliver(self, delivery: Delivery) -> Reply:
        behaviour = behaviour_of(delivery.subscriber) if self._steered else AT_ONCE
        if behaviour.answer is AnswerForm.NO_CONNECTION:
            raise ConnectionRefusedError
        delay_s = behaviour.delay_s * (_wobble(delivery.reference) if behaviour is ORDINARY else 1)
        if delay_s:
            await self._clock.sleep(delay_s)
        line = None
        if behaviour.act is not Act.NOTHING:
            state, becomes = _WRITTEN_BY_ACT[behaviour.act]
            line = await self._book.write(
                delivering(
                    self._name,
                    delivery,
                    self._clock.now(),
                    state,
                    becomes=becomes,
                    after_s=behaviour.later_s,
                    reason=behaviour.reason,
                )
            )
        return await self._answer(behaviour, line, delivery)

    async def requery(self, delivery: Delivery) -> Reply:
        if self._steered and behaviour_of(delivery.subscriber).mute:
            await self._clock.sleep(self._patience_s)
            raise TimeoutError
        return self._truth(await self._book.write(asking(self._name, delivery, self._clock.now())), delivery)

    async def _answer(self, behaviour: Behaviour, line: Line | None, delivery: Delivery) -> Reply:
        """The answer to a delivery, after what was done (or not) stands in the book."""
        match behaviour.answer:
            case AnswerForm.SILENCE:
                await self._clock.sleep(self._patience_s)
                raise TimeoutError
            case AnswerForm.GARBAGE:
                return _GARBAGE
            case AnswerForm.UNDOCUMENTED:
                return Reply(200, msgspec.json.encode(Body("SHIPPED", text="On its merry way")))
            case AnswerForm.GOOD if line is not None:
                # A line that drips keeps the client waiting without ever being silent for long.
                if behaviour.drip_s:
                    await self._clock.sleep(behaviour.drip_s)
                return self._truth(line, delivery)
            case _:
                return _SERVER_ERROR

    def _truth(self, line: Line, delivery: Delivery) -> Reply:
        """What the book says, in the words of the API."""
        delivered = line.state is BookState.DELIVERED
        refused = line.state is BookState.REFUSED and line.reason is not None
        body = Body(
            STATUS_BY_STATE[line.state],
            id=f"SIM-{line.id}",
            reason=_CODE_BY_REASON[line.reason] if refused and line.reason is not None else None,
            cost=line.cost.text if delivered else None,
            currency=line.cost.currency.code if delivered else None,
            text=f"{_TEXT_BY_STATE[line.state]}: {line.reason}" if refused else _TEXT_BY_STATE[line.state],
            secrets=secrets_of(delivery, line, steered=self._steered) if delivered else None,
        )
        return Reply(200, msgspec.json.encode(body))


def _wobble(reference: str) -> float:
    """A factor between 0.8 and 1.2 that is always the same for a reference, so that runs can be repeated."""
    return 0.8 + 0.4 * (zlib.crc32(reference.encode()) % 1000) / 999
