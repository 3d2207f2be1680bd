"""What a converted model is compared with its reference on: prose, codes, figures and other languages, from a word to hundreds."""

_SENTENCES = (
    "Rule.",
    "The tenant may end the contract with three months' notice; the notice must be given in writing.",
    "When the pump stops, close the valve, wait for the pressure to fall below two bar, and only then open the housing.",
    "Error E-4711: the fan does not turn although the supply voltage is 24 V; replace part no. 88-120/B.",
    "Le bail est renouvelé par tacite reconduction, sauf congé donné trois mois avant son terme.",
    "She walked along the river until the lamps of the town were no more than a line of light behind her.",
    "Total revenue rose by 12.4 % to EUR 318.2 million, while operating costs fell for the third quarter in a row.",
    "def area(width, height): return width * height  # both in metres",
    "Patients over 65 with reduced kidney function receive half of the usual dose, spread over three days.",
    "Wer ein Grundstück verkauft, muss bekannte Mängel nennen.",
    "Photosynthesis lets green plants turn sunlight into sugar.",
    "naïve café ☕ 文書",
)
PROBES = (
    *_SENTENCES,
    *(" ".join(_SENTENCES[first : first + count]) for first, count in ((0, 2), (3, 3), (5, 5), (0, 12))),
    " ".join(_SENTENCES * 3),
)
