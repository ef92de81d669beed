#include "common/codec/compression.hpp"
#include "common/codec/tar_reader.hpp"
#include "common/codec/tar_writer.hpp"
#include "tests/unit/codec_support.hpp"

#include <archive.h>
#include <archive_entry.h>
#include <clocale>
#include <cstdlib>
#include <fmt/format.h>
#include <unistd.h>

using namespace walgd;
using namespace walgd::codec;
using namespace walgd::codec::test;

namespace {

struct Entry {
    TarMember member;
    std::string content;
};

/// One line a member: everything that a tar says about it.
std::string line(const TarMember& m, std::string_view content) {
    const char* type = m.type == TarMember::Type::file ? "file" : m.type == TarMember::Type::directory ? "dir" : "link";
    return fmt::format("{} {} {:o} {}:{} {}:{} {} [{}] {} {}\n", type, m.name, m.mode, m.uid, m.gid, m.uname, m.gname,
                       m.mtime_seconds, m.link, content.size(), sha256_hex(content).substr(0, 8));
}

std::string lines(const std::vector<Entry>& entries) {
    std::string all;
    for (const auto& entry : entries) all += line(entry.member, entry.content);
    return all;
}

class Recorder : public TarReader::Handler {
public:
    void begin(const TarMember& member) override {
        REQUIRE_FALSE(open_);
        open_ = true;
        member_ = member;
        content_.clear();
    }
    void data(ByteView bytes) override { content_.append(text_of(bytes)); }
    void end() override {
        REQUIRE(open_);
        open_ = false;
        CHECK(content_.size() == member_.size);
        seen += line(member_, content_);
    }
    std::string seen;

private:
    bool open_ = false;
    TarMember member_;
    std::string content_;
};

std::string read_tar(std::string_view tar, std::size_t piece = 1 << 20) {
    Recorder recorder;
    TarReader reader(recorder, "part_001.tar");
    for (std::size_t at = 0; at < tar.size(); at += piece) reader.write(bytes_of(tar.substr(at, piece)));
    reader.finish();
    return recorder.seen;
}

std::string tar_refusal(std::string_view tar) {
    try {
        read_tar(tar);
    } catch (const Error& error) {
        CHECK(error.kind() == ErrorKind::corrupt);
        CHECK(std::string(error.what()).starts_with("part_001.tar"));
        return error.what();
    }
    return "accepted";
}

std::string write_tar(const std::vector<Entry>& entries) {
    TextSink out;
    TarWriter writer(out);
    for (const auto& [member, content] : entries) {
        writer.begin(member);
        writer.write(bytes_of(std::string_view(content).substr(0, content.size() / 3)));
        writer.write(bytes_of(std::string_view(content).substr(content.size() / 3)));
        writer.end_member();
    }
    writer.finish();
    CHECK(out.finished == 1);
    CHECK(writer.written() == out.text.size());
    return out.text;
}

Entry file(std::string name, std::string content = {}) {
    TarMember member;
    member.name = std::move(name);
    member.size = content.size();
    member.uid = 70;
    member.gid = 71;
    member.uname = "postgres";
    member.gname = "dba";
    member.mtime_seconds = 1714557601;
    return {std::move(member), std::move(content)};
}

Entry directory(std::string name) {
    auto entry = file(std::move(name));
    entry.member.type = TarMember::Type::directory;
    entry.member.mode = 0700;
    return entry;
}

Entry link_to(std::string name, std::string target) {
    auto entry = file(std::move(name));
    entry.member.type = TarMember::Type::symlink;
    entry.member.mode = 0777;
    entry.member.link = std::move(target);
    return entry;
}

/// Members of every kind and size that a header must tell.
std::vector<Entry> a_cluster() {
    const std::string part(60, 'd');
    std::vector<Entry> entries{directory("/"),
                               directory("/base"),
                               file("/base/1/1259", sample(8192)),
                               file("/empty"),
                               file("/one", "x"),
                               file("/block", sample(512)),
                               file("/backup", sample(1000)),
                               link_to("/pg_tblspc/16384", "/srv/space"),
                               file("/" + part + "/" + part + "/16384_fsm", "split name"),
                               file("/" + std::string(99, 'n'), "100 bytes"),
                               file("/" + std::string(100, 'n'), "101 bytes: pax"),
                               file("/" + std::string(300, 'n') + "/16384", "pax"),
                               file("/base/t\xc3\xa4st", "not ASCII"),
                               link_to("/long", "/" + std::string(150, 'l')),
                               directory("/" + std::string(200, 'd'))};
    Entry odd = file("/odd", "values");
    odd.member.uid = 3000000;
    odd.member.gid = 4294967294;
    odd.member.uname = std::string(40, 'u');
    odd.member.mtime_seconds = -5;
    odd.member.mode = 04755;
    entries.push_back(odd);
    return entries;
}

std::string text_or_empty(const char* text) { return text != nullptr ? text : ""; }

/// libarchive takes names that are not ASCII only in a locale that has them.
class Utf8Locale {
public:
    Utf8Locale() { std::setlocale(LC_ALL, "C.UTF-8"); }
    ~Utf8Locale() { std::setlocale(LC_ALL, "C"); }
};

/// The same lines, by libarchive: the judge of our writer.
std::string read_by_libarchive(const std::string& tar) {
    const Utf8Locale locale;
    archive* reader = archive_read_new();
    archive_read_support_format_tar(reader);
    REQUIRE(archive_read_open_memory(reader, tar.data(), tar.size()) == ARCHIVE_OK);
    std::string seen;
    archive_entry* entry = nullptr;
    while (archive_read_next_header(reader, &entry) == ARCHIVE_OK) {
        TarMember member;
        member.name = text_or_empty(archive_entry_pathname(entry));
        const auto type = archive_entry_filetype(entry);
        member.type = type == AE_IFDIR   ? TarMember::Type::directory
                      : type == AE_IFLNK ? TarMember::Type::symlink
                                         : TarMember::Type::file;
        member.mode = archive_entry_perm(entry);
        member.uid = static_cast<std::uint64_t>(archive_entry_uid(entry));
        member.gid = static_cast<std::uint64_t>(archive_entry_gid(entry));
        member.uname = text_or_empty(archive_entry_uname(entry));
        member.gname = text_or_empty(archive_entry_gname(entry));
        member.mtime_seconds = archive_entry_mtime(entry);
        member.link = text_or_empty(archive_entry_symlink(entry));
        while (member.type == TarMember::Type::directory && member.name.size() > 1 && member.name.ends_with('/'))
            member.name.pop_back();
        std::string content(static_cast<std::size_t>(archive_entry_size(entry)), '\0');
        CHECK(archive_read_data(reader, content.data(), content.size()) == static_cast<la_ssize_t>(content.size()));
        seen += line(member, content);
    }
    archive_read_free(reader);
    return seen;
}

/// A tar by libarchive, in the format of that name ("gnutar", "pax", "ustar").
std::string write_by_libarchive(const std::vector<Entry>& entries, const char* format) {
    const Utf8Locale locale;
    std::string tar(8 << 20, '\0');
    std::size_t used = 0;
    archive* writer = archive_write_new();
    archive_write_set_format_by_name(writer, format);
    REQUIRE(archive_write_open_memory(writer, tar.data(), tar.size(), &used) == ARCHIVE_OK);
    for (const auto& [member, content] : entries) {
        archive_entry* entry = archive_entry_new();
        archive_entry_set_pathname(entry, member.name.c_str());
        archive_entry_set_filetype(entry, member.type == TarMember::Type::directory ? AE_IFDIR
                                          : member.type == TarMember::Type::symlink ? AE_IFLNK
                                                                                    : AE_IFREG);
        archive_entry_set_perm(entry, member.mode);
        archive_entry_set_uid(entry, static_cast<la_int64_t>(member.uid));
        archive_entry_set_gid(entry, static_cast<la_int64_t>(member.gid));
        archive_entry_set_uname(entry, member.uname.c_str());
        archive_entry_set_gname(entry, member.gname.c_str());
        archive_entry_set_mtime(entry, member.mtime_seconds, 0);
        archive_entry_set_size(entry, static_cast<la_int64_t>(content.size()));
        if (member.type == TarMember::Type::symlink) archive_entry_set_symlink(entry, member.link.c_str());
        CHECK(archive_write_header(writer, entry) == ARCHIVE_OK);
        archive_write_data(writer, content.data(), content.size());
        archive_entry_free(entry);
    }
    archive_write_close(writer);
    archive_write_free(writer);
    tar.resize(used);
    return tar;
}

/// A header block of any type, for what our writer never writes.
std::string raw_header(char type, std::string_view name, std::size_t size,
                       std::string_view magic = std::string_view("ustar\00000", 8)) {
    std::string block(512, '\0');
    const auto put = [&block](std::size_t at, std::string_view text) { block.replace(at, text.size(), text); };
    put(0, name);
    put(100, "0000600");
    put(108, "0000000");
    put(116, "0000000");
    put(124, fmt::format("{:011o}", size));
    put(136, "00000000000");
    put(148, "        ");
    block[156] = type;
    put(257, magic);
    unsigned sum = 0;
    for (const char c : block) sum += static_cast<unsigned char>(c);
    put(148, fmt::format("{:06o}", sum));
    block[154] = '\0';
    return block;
}

std::string padded(std::string text) {
    text.append((512 - text.size() % 512) % 512, '\0');
    return text;
}

const std::string end_mark(1024, '\0');

} // namespace

TEST_CASE("a tar gives back every member as it was put in, at any cut", "[codec]") {
    const auto entries = a_cluster();
    const auto tar = write_tar(entries);
    CHECK(read_tar(tar) == lines(entries));
    for (const std::size_t piece : {1u, 7u, 511u, 512u, 513u, 4096u}) CHECK(read_tar(tar, piece) == lines(entries));
}

TEST_CASE("a tar header has WAL-G's bytes, and the archive its end", "[codec]") {
    auto entry = file("/base/1/1259", "0123456789");
    entry.member.uid = entry.member.gid = 0;
    entry.member.uname = entry.member.gname = "root";
    const auto tar = write_tar({entry});
    REQUIRE(tar.size() == 512 + 512 + 1024);
    CHECK(tar.substr(0, 13) == std::string("/base/1/1259\0", 13));
    CHECK(tar.substr(0x64, 24) == std::string("0000600\0"
                                              "0000000\0"
                                              "0000000\0",
                                              24));
    CHECK(tar.substr(0x7c, 24) == std::string("00000000012\0"
                                              "14614411241\0",
                                              24));
    CHECK(tar.substr(0x94, 9) == std::string("012507\0 0", 9));
    CHECK(tar.substr(0x101, 13) == std::string("ustar\0"
                                               "00root\0",
                                               13));
    CHECK(tar.substr(0x149, 16) == std::string("0000000\0"
                                               "0000000\0",
                                               16));
    CHECK(tar.substr(1024) == end_mark);
    CHECK(write_tar({}) == end_mark);
    CHECK(write_tar({directory("/")}).substr(0, 2) == std::string("/\0", 2));
}

TEST_CASE("libarchive reads what our writer writes", "[codec]") {
    const auto entries = a_cluster();
    CHECK(read_by_libarchive(write_tar(entries)) == lines(entries));
}

TEST_CASE("GNU tar reads what our writer writes", "[codec]") {
    if (std::system("tar --version >/dev/null 2>&1") != 0) {
        WARN("skipped: tar is not installed");
        return;
    }
    std::string path = "/tmp/walgd_codec_XXXXXX";
    const int fd = mkstemp(path.data());
    REQUIRE(fd >= 0);
    write_all(fd, bytes_of(write_tar(a_cluster())), path);
    close(fd);
    CHECK(std::system(("tar -tvf " + path + " >/dev/null 2>&1").c_str()) == 0);
    unlink(path.c_str());
}

TEST_CASE("tars of other writers read the same: ustar, pax, GNU", "[codec]") {
    const auto entries = a_cluster();
    for (const char* format : {"pax", "gnutar"}) {
        INFO(format);
        auto wanted = entries;
        if (std::string_view(format) == "gnutar") { // has 31 bytes for owners; libarchive's has no time before 1970
            wanted.back().member.uname.resize(31);
            wanted.back().member.mtime_seconds = 0;
        }
        CHECK(read_tar(write_by_libarchive(wanted, format)) == lines(wanted));
    }
    const std::vector<Entry> plain(entries.begin(), entries.begin() + 9);
    CHECK(read_tar(write_by_libarchive(plain, "ustar")) == lines(plain));
}

TEST_CASE("tars that WAL-G wrote have bytes that our writer gives back", "[codec]") {
    const std::string folder = "lz4-default16/archive/basebackups_005/base_000000010000000000000002/tar_partitions/";
    for (const std::string name : {"part_001.tar", "pg_control.tar", "backup_label.tar"}) {
        const auto decompress = [](Sink& next) { return compression_by_suffix("lz4")->decompressor(next); };
        const auto tar = through(decompress, golden(folder + name + ".lz4"));
        CHECK(read_tar(tar) == read_by_libarchive(tar));

        class Copy : public TarReader::Handler {
        public:
            explicit Copy(Sink& out) : writer(out) {}
            void begin(const TarMember& member) override { writer.begin(member); }
            void data(ByteView bytes) override { writer.write(bytes); }
            void end() override { writer.end_member(); }
            TarWriter writer;
        };
        TextSink out;
        Copy copy(out);
        TarReader reader(copy, name);
        reader.write(bytes_of(tar));
        reader.finish();
        copy.writer.finish();
        CHECK(sha256_hex(out.text) == sha256_hex(tar));
    }
}

TEST_CASE("a tar without end mark, with half of one, or without the last padding is whole", "[codec]") {
    const auto entry = file("base/1/1259", sample(700));
    const auto tar = write_tar({file("a", "b"), entry});
    const auto wanted = read_tar(tar);
    for (const std::size_t missing : {1024u, 512u, 300u, 1024u + 324u, 1024u + 1u})
        CHECK(read_tar(tar.substr(0, tar.size() - missing)) == wanted);
    CHECK(read_tar(tar + std::string(20000, '\0')) == wanted);
    CHECK(read_tar("").empty());
}

TEST_CASE("members of unknown kinds are passed over, old kinds understood", "[codec]") {
    const auto wanted = read_tar(raw_header('0', "/f", 5) + padded("hello"));
    for (const char type : {'Z', 'X', 'V', '3', '4', '6', 'g'}) {
        INFO(type);
        const bool has_content = type != '3' && type != '4' && type != '6';
        const auto other = raw_header(type, "other", 3) + (has_content ? padded("abc") : "");
        CHECK(read_tar(other + raw_header('0', "/f", 5) + padded("hello") + other + end_mark) == wanted);
    }
    CHECK(read_tar(raw_header('\0', "/f", 5, "") + padded("hello")) == wanted);
    CHECK(read_tar(raw_header('7', "/f", 5) + padded("hello")) == wanted);
    CHECK(read_tar(raw_header('\0', "global/", 0, "")).starts_with("dir global 600"));
    CHECK(read_tar(raw_header('5', "./pg_wal/archive_status/", 0)).starts_with("dir ./pg_wal/archive_status 600"));
}

TEST_CASE("pax records rule over the header, and empty ones take themselves back", "[codec]") {
    const auto with = [](const std::string& records) {
        return read_tar(raw_header('x', "pax", records.size()) + padded(records) + raw_header('0', "/f", 0));
    };
    CHECK(with("19 mtime=-1.500001\n").find(" -2 []") != std::string::npos);
    CHECK(with("15 path=/other\n28 comment=anything, a=b \xff\xfe\n14 VENDOR.x=y\n").find("file /other 600") == 0);
    CHECK(with("8 path=\n").find("file /f 600") == 0);
}

TEST_CASE("a broken tar is corrupt and says where", "[codec]") {
    const auto good = raw_header('0', "/f", 5) + padded("hello");
    CHECK(tar_refusal(good + end_mark + "x").find("end mark") != std::string::npos);
    CHECK(tar_refusal(good + std::string(512, '\0') + good).find("end mark") != std::string::npos);
    CHECK(tar_refusal(good.substr(0, 514)).find("cut (after the header of /f)") != std::string::npos);
    CHECK(tar_refusal(good + good.substr(0, 100)).find("cut") != std::string::npos);
    CHECK(tar_refusal(good + std::string(512, '1')).find("checksum") != std::string::npos);
    CHECK(tar_refusal(raw_header('1', "/hard", 0)).find("hard link") != std::string::npos);
    CHECK(tar_refusal(raw_header('S', "/sparse", 0)).find("sparse") != std::string::npos);
    CHECK(tar_refusal(raw_header('0', "/dir/", 5) + padded("hello")).find("like a directory") != std::string::npos);
    CHECK(tar_refusal(raw_header('0', "", 0)).find("no name") != std::string::npos);
    CHECK(tar_refusal(raw_header('x', "pax", 2 << 20)).find("extended header") != std::string::npos);
    CHECK(tar_refusal(raw_header('L', "long", 512) + padded("name")).find("cut") != std::string::npos);
    CHECK(tar_refusal(raw_header('x', "pax", 10) + padded("10 path=a\n") + end_mark).find("extended header") !=
          std::string::npos);
    for (const std::string records :
         {"x", "5", "99 a=b\n", "7 a=bcd", "0 \n", "4 a\n", "8 =abcd\n", "12 size=-20\n", "12 size=9x9\n",
          "99999999999999999999 a=b\n", "17 GNU.sparse.a=b\n", "30 size=9223372036854775807\n"})
        CHECK(is_corrupt("corrupt: " +
                         tar_refusal(raw_header('x', "pax", records.size()) + padded(records) + raw_header('0', "/f", 0))));
}

TEST_CASE("no change of a tar's bytes crashes the reader or breaks its order of calls", "[codec]") {
    const auto tar =
        write_tar({file("/a", sample(600)), file("/" + std::string(300, 'n'), "pax"), directory("/d"), link_to("/l", "t")});
    std::mt19937 random(3);
    for (int round = 0; round < 3000; ++round) {
        auto changed = tar;
        for (unsigned i = 0; i <= random() % 3; ++i) changed[random() % changed.size()] = static_cast<char>(random());
        if (random() % 4 == 0) changed.resize(random() % changed.size());
        try {
            read_tar(changed);
        } catch (const Error& error) {
            CHECK(error.kind() == ErrorKind::corrupt);
        }
    }
}

TEST_CASE("the writer refuses content that does not match the header", "[codec]") {
    TextSink out;
    TarWriter longer(out), shorter(out);
    longer.begin(file("/f", "12345").member);
    CHECK_THROWS_WITH(longer.write(bytes_of("123456")), Catch::Contains("/f") && Catch::Contains("1 bytes more"));
    shorter.begin(file("/f", "12345").member);
    shorter.write(bytes_of("123"));
    CHECK_THROWS_WITH(shorter.end_member(), Catch::Contains("2 bytes fewer"));
    CHECK_THROWS_AS(TarWriter(out).begin(file("").member), Error);
    CHECK_THROWS_AS(TarWriter(out).begin(file(std::string("a\0b", 3)).member), Error);
}
