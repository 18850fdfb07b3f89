"""A log file that is followed."""

from pathlib import Path
from threading import Thread

from infra.backends.embedded.log import read_log


def test_following_ends_with_the_file(tmp_path: Path) -> None:
    """Each line that is written is given, the last one among them, and the removal of the file ends it."""
    log = tmp_path / "server.log"
    log.write_text("one\n")
    lines = read_log(log, 10, follow=True)
    given = [next(lines)]
    following = Thread(target=lambda: given.extend(lines), daemon=True)
    following.start()
    with log.open("a") as output:
        output.write("two\nthr")
        output.flush()
        output.write("ee\n")
    log.unlink()
    following.join(10)
    assert not following.is_alive()
    assert given == ["one", "two", "three"]
