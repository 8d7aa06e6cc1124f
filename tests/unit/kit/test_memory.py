"""Giving memory back: when it is worth it, and no more often than it helps."""

from telvend.kit import memory
from telvend.kit.memory import EXCESS_BYTES, Excess

MIB = 1024 * 1024


class Process:
    """Holds `needed` and `free`; the latter goes when it is given back, and garbage only when it is collected."""

    def __init__(self) -> None:
        self.needed, self.free, self.garbage = 80 * MIB, 0, 0
        self.given_back: list[bool] = []
        self.excess = Excess(5.0, 60.0, resident=self.resident, give_back=self.give_back)

    def resident(self) -> int:
        return self.needed + self.free + self.garbage

    def give_back(self, collect: bool) -> None:
        self.given_back.append(collect)
        self.free = 0
        if collect:
            self.garbage = 0


def test_what_a_burst_left_behind_is_given_back_and_small_changes_are_left_alone() -> None:
    process = Process()
    process.excess.check(0)
    process.free = EXCESS_BYTES - 1
    process.excess.check(5)
    assert process.given_back == []
    process.free = 100 * MIB
    process.excess.check(9)  # Too soon.
    assert process.given_back == []
    process.excess.check(10)
    assert process.given_back == [False]
    assert process.resident() == 80 * MIB


def test_garbage_is_collected_where_it_did_not_help_to_do_without() -> None:
    process = Process()
    process.excess.check(0)
    process.garbage = 100 * MIB
    process.excess.check(5)
    process.excess.check(15)
    assert process.given_back == [False, True]
    assert process.resident() == 80 * MIB


def test_a_process_that_needs_its_memory_is_interrupted_ever_less() -> None:
    process = Process()
    process.excess.check(0)
    process.needed = 500 * MIB
    for now in range(1, 600):
        process.excess.check(now)
    assert len(process.given_back) < 14
    process.needed = 80 * MIB
    process.excess.check(700)
    process.free = 100 * MIB
    process.excess.check(705)
    assert process.resident() == 80 * MIB


def test_the_real_process_says_what_it_holds_and_survives_giving_back() -> None:
    assert memory.resident_bytes() > 5 * MIB
    memory.give_back(True)
    memory.give_back(False)
