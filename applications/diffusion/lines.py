"""What the commands say."""

from applications import terminal


def say(text):
    """One line to the terminal's errors."""
    terminal.say("diffusion", text)
