"""Tables of the papers, row by row, as they were and as they were published."""

from __future__ import annotations

from typing import Any

import numpy as np

from domain.privacy.anonymize.hierarchy import Codes

HEART, VIRAL, CANCER = "Heart Disease", "Viral Infection", "Cancer"

SWEENEY = [  # Sweeney 2002, figure 2: race, birth, gender, ZIP; problem.  k = 2
    (("Black", "1965", "m", "0214*"), "short breath"),
    (("Black", "1965", "m", "0214*"), "chest pain"),
    (("Black", "1965", "f", "0213*"), "hypertension"),
    (("Black", "1965", "f", "0213*"), "hypertension"),
    (("Black", "1964", "f", "0213*"), "obesity"),
    (("Black", "1964", "f", "0213*"), "chest pain"),
    (("White", "1964", "m", "0213*"), "chest pain"),
    (("White", "1964", "m", "0213*"), "obesity"),
    (("White", "1964", "m", "0213*"), "short breath"),
    (("White", "1967", "m", "0213*"), "chest pain"),
    (("White", "1967", "m", "0213*"), "chest pain"),
]

INPATIENTS = [  # Machanavajjhala et al. 2007, figure 1: ZIP, age, nationality; condition
    ("13053", 28, "Russian", HEART),
    ("13068", 29, "American", HEART),
    ("13068", 21, "Japanese", VIRAL),
    ("13053", 23, "American", VIRAL),
    ("14853", 50, "Indian", CANCER),
    ("14853", 55, "Russian", HEART),
    ("14850", 47, "American", VIRAL),
    ("14850", 49, "American", VIRAL),
    ("13053", 31, "American", CANCER),
    ("13053", 37, "Indian", CANCER),
    ("13068", 36, "Japanese", CANCER),
    ("13068", 35, "American", CANCER),
]
FOUR_ANONYMOUS = [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]  # its figure 2
THREE_DIVERSE = [0, 1, 1, 0, 2, 2, 2, 2, 0, 0, 1, 1]  # its figure 3

SALARIES = [3, 4, 5, 6, 11, 8, 7, 9, 10]  # Li et al. 2007, table 3: thousands, in the order of its rows
THREE_DIVERSE_SALARIES = [0, 0, 0, 1, 1, 1, 2, 2, 2]  # its table 4
CLOSE_SALARIES = [0, 2, 0, 1, 1, 1, 2, 0, 2]  # its table 5

PATIENTS = [  # LeFevre et al. 2006, figure 1: age, sex, ZIP
    (25, "Male", 53711),
    (25, "Female", 53712),
    (26, "Male", 53711),
    (27, "Male", 53710),
    (27, "Female", 53712),
    (28, "Male", 53711),
]
TWO_ANONYMOUS = [  # its figure 3, in many dimensions
    ("[25, 26]", "Male", "53711"),
    ("[25, 27]", "Female", "53712"),
    ("[25, 26]", "Male", "53711"),
    ("[27, 28]", "Male", "[53710, 53711]"),
    ("[25, 27]", "Female", "53712"),
    ("[27, 28]", "Male", "[53710, 53711]"),
]


def coded(values: list[Any]) -> Codes:
    """Number values in order."""
    return np.unique(np.asarray(values), return_inverse=True)[1].astype(np.int64)


def grouped(rows: list[Any]) -> Codes:
    """Number groups of equal rows."""
    places: dict[Any, int] = {}
    return np.array([places.setdefault(row, len(places)) for row in rows])
