"""The table of docs/systems.md, which runs in virtual machines write: what they leave is kept."""

from tests.vm import seen

TEXT = "# Systems\n\nWhat it is.\n\n| step |\n| --- |\n\nThe end.\n"
CELLS = {
    "kernel": {"Debian 12": "6.1", "Debian 13": "6.12"},
    "boots": {"Debian 12": "abc1234", "Debian 13": "**failed** at abc1234"},
    "cron": {"Debian 13": "abc1234"},
}


def test_what_is_written_is_read():
    once = seen.write(TEXT, CELLS)
    assert seen.read(once) == CELLS
    assert seen.write(once, seen.read(once)) == once


def test_the_text_around_stays():
    written = seen.write(TEXT, CELLS)
    assert written.startswith("# Systems\n\nWhat it is.\n\n| step | Debian 12 | Debian 13 |\n")
    assert written.endswith("|\n\nThe end.\n")


def test_the_table_in_the_documents_can_be_read():
    told = seen.read(seen.TABLE.read_text("utf-8"))
    assert told.pop("kernel", {}).keys() >= {name for row in told.values() for name in row}
