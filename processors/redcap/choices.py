"""REDCap's notation for the choices of a dropdown, radio or checkbox field."""


def choices(text: str) -> dict[str, str]:
    """The labels by code of `0, Label | 1, Label, with comma`.

    Only the first comma of a choice parts its code from its label. A choice without a comma is its own
    label; of two choices with one code the last counts.
    """
    found = {}
    for choice in text.split("|"):
        code, comma, label = choice.partition(",")
        if code.strip():
            found[code.strip()] = label.strip() if comma else code.strip()
    return found
