"""What ends a command with one line on standard error."""


class CommandError(Exception):
    """The text is the line for the person at the terminal: what is wrong and what to do about it."""

    def __init__(self, text: str, exit_code: int = 1) -> None:
        super().__init__(text)
        self.exit_code = exit_code
