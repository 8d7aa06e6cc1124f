"""What the far side of a provider does with a delivery, in every suite that plays it."""

from enum import StrEnum


class Situation(StrEnum):
    """What the far side does with a delivery."""

    DELIVERS = "delivers"
    DELIVERS_LATER = "accepts, delivers later"
    REFUSES_LATER = "accepts, refuses later"
    REFUSES = "refuses"
    REFUSES_ELSEWHERE = "refuses, another may be tried"
    DELIVERS_THEN_SILENCE = "delivers, then times out"
    SILENCE = "times out without delivering"
    DELIVERS_THEN_GARBAGE = "delivers, answers garbage"
    GARBAGE = "answers garbage without delivering"
    DELIVERS_THEN_SERVER_ERROR = "delivers, answers 5xx"
    SERVER_ERROR = "answers 5xx without delivering"
    UNDOCUMENTED = "delivers, answers an undocumented status"
    NO_CONNECTION = "refuses the connection"
