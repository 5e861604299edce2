"""What the commands share and no backend is needed for: names of data sets, the least size, what is said."""

from applications import terminal

DATA_SETS = ("mnist", "usps", "fashion_mnist", "digits")
LEAST = 8  # pixels of a side, that the networks need


def say(text):
    """One line to the terminal's errors."""
    terminal.say("cyclegan", text)
