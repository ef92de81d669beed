"""WAL segments made to measure, where no server is needed."""
import os
import struct

SEGMENT_BYTES = 1 << 20


def segment_name(number, timeline=1):
    per_id = (1 << 32) // SEGMENT_BYTES
    return f"{timeline:08X}{number // per_id:08X}{number % per_id:08X}"


def segment_content(number, noise=0, system=7000000000000000001):
    """A segment of 1 MiB with PostgreSQL 15's page header, `noise` random bytes and zeros: its packed size is as good as chosen."""
    header = struct.pack("<HHIQIIQII", 0xD110, 2, 1, number * SEGMENT_BYTES, 0, 0, system, SEGMENT_BYTES, 8192)
    return (header + os.urandom(noise)).ljust(SEGMENT_BYTES, b"\0")


def write_segment(scratch, number, noise=0):
    """As a file that the server's user may read. Returns its path."""
    path = scratch.path / segment_name(number)
    path.write_bytes(segment_content(number, noise))
    scratch.own(path)
    return path
