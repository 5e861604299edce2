"""What is wrong in a data set is refused, or skipped with a warning that counts and names it.

A loader collects what is wrong as sentences, one a file or line, each of which names its place. With
`on_error="raise"` they become one `ValueError`, with `on_error="skip"` one warning; both show the first five.
"""

import warnings

SHOWN = 5


def check_on_error(on_error):
    """`on_error`, if it is one of the two."""
    if on_error not in ("raise", "skip"):
        raise ValueError(f"Expected `on_error` to be 'raise' or 'skip'. Received: on_error={on_error!r}")
    return on_error


def settle(problems, on_error, what):
    """Raise or warn, if there are problems.

    Args:
        problems: Sentences, each of which names its file or line.
        on_error: "raise" or "skip".
        what: What was expected, for the message.

    Raises:
        ValueError: If there are problems and `on_error` is "raise".
    """
    if not problems:
        return
    more = f", and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
    named = "; ".join(problems[:SHOWN]) + more
    if on_error == "raise":
        raise ValueError(
            f"Expected {what}. Received {len(problems)} that cannot be used: {named}. Mend or remove them, or "
            "pass on_error='skip'."
        )
    warnings.warn(f"Skipped {len(problems)}, expected {what}: {named}", stacklevel=3)
