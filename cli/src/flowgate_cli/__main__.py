"""Entry point of the command `flowgate`."""

from flowgate_cli.app import run


def main() -> None:
    """Run the command."""
    run()


if __name__ == "__main__":
    main()
