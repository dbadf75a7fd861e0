"""Words that are too long for their place."""


def middle_cut(text: str, n_letters: int) -> str:
    """A text of at most `n_letters`, without its middle where it is longer: what differs stands at its ends."""
    if len(text) <= n_letters:
        return text
    half = n_letters // 2
    return f"{text[:half].rstrip()}…{text[1 + half - n_letters :].lstrip()}"
