"""Backups made up byte by byte, as WAL-G lays them out: for restores of what no server gives, hostile ones too.

An Archive is a file store; method none unless a test packs the tars itself. A backup is told its files one by one:
    archive.full(1, {"base/5/1": Whole(...)})
    archive.delta(2, 1, {"base/5/1": Increment(size, {3: page}), "base/5/2": Skipped()})
"""
import io
import json
import struct
import tarfile
from dataclasses import dataclass, field

PAGE = 8192
SYSTEM = 7364522330287841025
TIME = "2026-05-01T10:00:00Z"


@dataclass
class Whole:
    content: bytes
    mode: int = 0o600


@dataclass
class Increment:
    size: int
    pages: dict  # block: bytes
    mode: int = 0o600

    @property
    def content(self):
        blocks = sorted(self.pages)
        return b"wi1\x55" + struct.pack(f"<QI{len(blocks)}I", self.size, len(blocks), *blocks) + b"".join(self.pages[block] for block in blocks)


@dataclass
class Skipped:
    mode: int = 0o600


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def control_file(system=SYSTEM, block=PAGE):
    content = bytearray(8192)
    struct.pack_into("<QII", content, 0, system, 1300, 202209061)
    struct.pack_into("<I", content, 216, block)
    struct.pack_into("<I", content, 228, 1 << 20)
    struct.pack_into("<I", content, 288, crc32c(content[:288]))
    return bytes(content)


def tar_of(members):
    """members: (name, content or None for a folder, mode) or a finished TarInfo with its content, None: whatever size it says."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for member in members:
            if isinstance(member[0], tarfile.TarInfo):
                tar.addfile(member[0], io.BytesIO(member[1]) if member[1] is not None else None)
                continue
            name, content, mode = member
            info = tarfile.TarInfo(name)
            info.mode = mode
            info.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
            info.size = len(content or b"")
            tar.addfile(info, io.BytesIO(content or b""))
    return out.getvalue()


def folders_of(files):
    folders = {""}
    for name in files:
        parts = name.split("/")[:-1]
        folders |= {"/".join(parts[:count + 1]) for count in range(len(parts))}
    return sorted(folders | {"global", "pg_wal"})


def name_of(number, parent=None):
    own = f"base_00000001000000000000{number:04X}"
    return own if parent is None else f"{own}_D_00000001000000000000{parent:04X}"


@dataclass
class Archive:
    folder: object
    pack: object = staticmethod(lambda tar: tar)  # compressed, encrypted
    suffix: str = ""
    parts: int = 2
    backups: dict = field(default_factory=dict)

    def full(self, number, files, **changes):
        return self.backup(number, None, files, **changes)

    def delta(self, number, parent, files, **changes):
        return self.backup(number, parent, files, **changes)

    def backup(self, number, parent, files, extra=(), sentinel=(), metadata=True, control=None, databases=None, tar_file_sets=True):
        """Writes the backup; `extra`: more members of its first part; `sentinel`: keys that are set or, with None, left out."""
        name = name_of(number, self.backups[parent]["number"] if parent else None)
        folder = self.folder / "basebackups_005" / name
        (folder / "tar_partitions").mkdir(parents=True, exist_ok=True)
        stored = [(name, entry) for name, entry in files.items() if not isinstance(entry, Skipped)]
        sets = {}
        for index in range(self.parts):
            mine = stored[index::self.parts]
            members = [("/" + path if path else "/", None, 0o700) for path in folders_of(files)] if index == 0 else []
            members += [("/" + path, entry.content, entry.mode) for path, entry in mine]
            members += list(extra) if index == 0 else []
            part = f"part_{index + 1:03}.tar{self.suffix}"
            sets[part] = [member[0] for member in members if not isinstance(member[0], tarfile.TarInfo)]
            self.write(name, part, tar_of(members))
        self.write(name, f"pg_control.tar{self.suffix}", tar_of([("/global/pg_control", control or control_file(), 0o600)]))
        self.write(name, f"backup_label.tar{self.suffix}", tar_of([("backup_label", f"START WAL LOCATION: {name}\n".encode(), 0o600), ("tablespace_map", b"", 0o600)]))
        described = {("/" + path if path else "/"): {"IsIncremented": False, "IsSkipped": False, "MTime": TIME, "UpdatesCount": 0} for path in folders_of(files)}
        for path, entry in files.items():
            described["/" + path] = {"IsIncremented": isinstance(entry, Increment), "IsSkipped": isinstance(entry, Skipped), "MTime": TIME, "UpdatesCount": 0}
        document = {"Files": described}
        if tar_file_sets:
            document["TarFileSets"] = sets
        if databases:
            document["DatabasesByNames"] = databases
        if metadata:
            (folder / "files_metadata.json").write_text(json.dumps(document))
        text = {"LSN": number << 24, "PgVersion": 150000, "FinishLSN": (number << 24) + 256, "SystemIdentifier": SYSTEM, "UncompressedSize": 1000, "CompressedSize": 1000,
                "ChkpNum": None, "Version": 2, "StartTime": TIME, "FinishTime": TIME, "DateFmt": "%Y-%m-%dT%H:%M:%S.%fZ", "Hostname": "pg1", "DataDir": "/d", "IsPermanent": False}
        if parent:
            above = self.backups[parent]
            text |= {"DeltaLSN": parent << 24, "DeltaFrom": above["name"], "DeltaFullName": above["full"], "DeltaCount": above["count"] + 1}
        if not metadata and not parent:
            text["FilesMetadataDisabled"] = True
        text |= dict(sentinel)
        text = {key: value for key, value in text.items() if value is not None or key == "ChkpNum"}
        (self.folder / "basebackups_005" / f"{name}_backup_stop_sentinel.json").write_text(json.dumps(text))
        (folder / "metadata.json").write_text(json.dumps({"start_time": TIME, "finish_time": TIME, "date_fmt": "", "hostname": "pg1", "data_dir": "/d", "pg_version": 150000, "start_lsn": number << 24,
                                                          "finish_lsn": (number << 24) + 256, "is_permanent": False, "system_identifier": SYSTEM, "uncompressed_size": 1000, "compressed_size": 1000,
                                                          **({"user_data": text["UserData"]} if "UserData" in text else {})}))
        self.backups[number] = {"number": number, "name": name, "full": self.backups[parent]["full"] if parent else name, "count": self.backups[parent]["count"] + 1 if parent else 0,
                                "parent": parent, "files": files}
        return name

    def into_sentinel(self, number):
        """As WAL-G had it before there was a files_metadata.json: all in the sentinel, under the names of then."""
        name = self.backups[number]["name"]
        files = self.folder / "basebackups_005" / name / "files_metadata.json"
        sentinel = self.folder / "basebackups_005" / f"{name}_backup_stop_sentinel.json"
        text = json.loads(sentinel.read_text())
        kept = {"LSN", "DeltaLSN", "DeltaFrom", "DeltaFullName", "DeltaCount", "PgVersion", "FinishLSN", "SystemIdentifier", "UncompressedSize", "CompressedSize"}
        text = {"DeltaFromLSN" if key == "DeltaLSN" else key: value for key, value in text.items() if key in kept}
        sentinel.write_text(json.dumps(text | json.loads(files.read_text())))
        files.unlink()

    def write(self, backup, part, tar):
        (self.folder / "basebackups_005" / backup / "tar_partitions" / part).write_bytes(self.pack(tar))

    def part(self, number, part=1):
        return self.folder / "basebackups_005" / self.backups[number]["name"] / "tar_partitions" / f"part_{part:03}.tar{self.suffix}"

    def expected(self, number):
        """What a restore of it holds, worked out the simple way: the full backup first, then every delta on top of it."""
        chain = []
        while number:
            chain.insert(0, self.backups[number])
            number = chain[0]["parent"]
        content = {}
        for backup in chain:
            kept = {}
            for name, entry in backup["files"].items():
                if isinstance(entry, Skipped):
                    kept[name] = content[name]
                elif isinstance(entry, Whole):
                    kept[name] = entry.content
                else:
                    data = bytearray(content[name][:entry.size].ljust(entry.size, b"\0"))
                    for block, page in entry.pages.items():
                        data[block * PAGE:(block + 1) * PAGE] = page
                    kept[name] = bytes(data)
            content = kept
        return content
