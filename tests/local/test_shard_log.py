from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from local.shard_log import Record, ShardLog

pairs = st.lists(
    st.tuples(st.text(min_size=1, max_size=5).map(str.encode), st.binary(max_size=30)), min_size=1, max_size=6
)


@given(st.lists(pairs, max_size=8), st.integers(40, 400), st.integers(1, 7), st.integers(1, 90))
@settings(max_examples=100, deadline=None)
def test_a_log_returns_its_records_in_order_whatever_the_segments_and_the_steps(
    puts: list[list[tuple[bytes, bytes]]], segment: int, most: int, most_bytes: int
) -> None:
    with TemporaryDirectory() as folder:
        log = ShardLog(Path(folder), segment)
        for moment, put in enumerate(puts):
            log.append(put, moment)

        read: list[Record] = []
        while records := log.read(len(read) + 1, most, most_bytes):
            assert len(records) <= most
            read += records

        assert [(record.key.encode(), record.data) for record in read] == [pair for put in puts for pair in put]
        assert [record.number for record in read] == list(range(1, len(read) + 1))
        log.delete()


def test_an_arrival_never_goes_back(tmp_path: Path) -> None:
    log = ShardLog(tmp_path)
    log.append([(b"k", b"a")], 2000)
    log.append([(b"k", b"b")], 1000)

    assert [record.arrived for record in log.read(1, 10, 1000)] == [2000, 2000]


def test_trimming_forgets_old_records_and_deletes_files_that_hold_no_other(tmp_path: Path) -> None:
    log = ShardLog(tmp_path, segment_bytes=100)
    for moment in range(10):
        log.append([(b"k", bytes(40))], moment)
    before = len(list(tmp_path.iterdir()))

    log.trim(7)

    assert [log.arrival(number) for number in range(log.first, log.next)] == [7, 8, 9]
    assert log.read(1, 100, 10_000)[0].arrived == 7
    assert log.first == 8
    assert len(list(tmp_path.iterdir())) < before
    assert log.append([(b"k", b"next")], 11)[0] == 11


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from local.shard_log import Record, ShardLog
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
log = ShardLog(Path(sys.argv[1]))
log.append([(b"k", b"kept")], 1)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
try:
    log.append([(b"k", bytes(5000))], 2)
except OSError:
    pass
else:
    sys.exit("the disk was not full")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
log.append([(b"k", b"after")], 3)
print([record.data.decode() for record in log.read(1, 10, 10_000)])
"""


def test_a_put_that_does_not_fit_the_disk_leaves_no_part_of_itself(tmp_path: Path) -> None:
    run = subprocess.run([sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True, check=False)

    assert run.stdout.strip() == "['kept', 'after']", run.stderr
