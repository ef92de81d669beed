#include "common/backup/push/backup_manifest.hpp"

#include "common/base/sha256.hpp"
#include "common/pg/crc32c.hpp"
#include "tests/unit/async_support.hpp"
#include "tests/unit/has.hpp"

#include <fmt/format.h>

namespace walgd::backup {

using test::kind_of;

namespace {

constexpr pg::SystemIdentifier ours{7711127702963900254};

/// As the server ends it: the last line is the checksum of all before it.
std::string closed(const std::string& text) {
    return text + fmt::format("\"Manifest-Checksum\": \"{}\"}}\n", to_hex(sha256(bytes_of(text))));
}

std::string crc_text(std::string_view content) {
    const auto crc = pg::crc32c(bytes_of(content));
    std::string text;
    for (const int shift : {0, 8, 16, 24}) text += fmt::format("{:02x}", crc >> shift & 0xFF);
    return text;
}

std::string file_line(const std::string& path, std::string_view content) {
    return fmt::format(R"({{ "Path": "{}", "Size": {}, "Last-Modified": "2026-11-22 22:33:47 GMT", )"
                       R"("Checksum-Algorithm": "CRC32C", "Checksum": "{}" }})",
                       path, content.size(), crc_text(content));
}

/// Of two files: "PG_VERSION" of "15\n", and "base/5/1259" of "pages".
std::string good_manifest() {
    return closed("{ \"PostgreSQL-Backup-Manifest-Version\": 2,\n\"System-Identifier\": 7711127702963900254,\n\"Files\": [\n" +
                  file_line("PG_VERSION", "15\n") + ",\n" + file_line("base/5/1259", "pages") +
                  "\n],\n\"WAL-Ranges\": [\n{ \"Timeline\": 1, \"Start-LSN\": \"0/2000028\", \"End-LSN\": \"0/2000100\" }\n],\n");
}

struct Came {
    std::string path, content;
};
const std::vector<Came> both{{"base/5/1259", "pages"}, {"PG_VERSION", "15\n"}};

/// What the check says of `files` and `manifest`; empty if all is well.
std::string said(const std::vector<Came>& files, const std::string& manifest, pg::SystemIdentifier system = ours) {
    ManifestCheck check;
    for (const auto& file : files) check.passed(file.path, file.content.size(), pg::crc32c(bytes_of(file.content)));
    for (std::size_t at = 0; at < manifest.size(); at += 7) check.write(bytes_of(std::string_view(manifest).substr(at, 7)));
    try {
        check.finish(system);
        return "";
    } catch (const Error& error) {
        CHECK(error.kind() == ErrorKind::corrupt);
        return error.what();
    }
}

/// Reads `text` in pieces of `piece` bytes.
std::vector<ManifestFile> read(const std::string& text, std::size_t piece) {
    std::vector<ManifestFile> files;
    std::size_t at = 0;
    auto next = [&] {
        auto part = text.substr(std::min(at, text.size()), piece);
        at += piece;
        return part;
    };
    read_backup_manifest(next, [&](const ManifestFile& file) { files.push_back(file); });
    return files;
}

} // namespace

TEST_CASE("backup manifest: any cut gives the same files", "[backup]") {
    const auto text = good_manifest();
    for (const std::size_t piece : {1U, 2U, 61U, 100'000U}) {
        const auto files = read(text, piece);
        REQUIRE(files.size() == 2);
        CHECK(files[0].path == "PG_VERSION");
        CHECK(files[0].bytes == 3);
        CHECK(files[0].crc32c == pg::crc32c(bytes_of("15\n")));
        CHECK(files[1].path == "base/5/1259");
    }
}

TEST_CASE("backup manifest: names that are no UTF-8 come as hex digits", "[backup]") {
    const auto text = closed("{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n\"Files\": [\n{ \"Encoded-Path\": \"6261736fff\", "
                             "\"Size\": 0, \"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"00000000\" }],\n");
    const auto files = read(text, 10);
    REQUIRE(files.size() == 1);
    CHECK(files[0].path == "baso\xff");
}

TEST_CASE("backup manifest: names that are no UTF-8 are told apart", "[backup]") {
    auto text = "{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n\"Files\": [\n" + file_line("636166e9", "acute") + ",\n" +
                file_line("636166e8", "grave") + "\n],\n";
    for (const auto* name : {"\"Path\": \"636166e9\"", "\"Path\": \"636166e8\""})
        text.replace(text.find(name), std::string_view("\"Path\"").size(), "\"Encoded-Path\"");
    CHECK(said({{"caf\xe9", "acute"}, {"caf\xe8", "grave"}}, closed(text)) == "");
    CHECK(said({{"caf\xe9", "grave"}, {"caf\xe8", "acute"}}, closed(text)).find("CRC-32C") != std::string::npos);
}

TEST_CASE("backup manifest: what came as it says is fine, in any order", "[backup]") {
    CHECK(said(both, good_manifest()).empty());
    CHECK(said({both[1], both[0]}, good_manifest()).empty());
}

TEST_CASE("backup manifest: a file that is not as it says is named", "[backup]") {
    CHECK(has(said({both[0], {"PG_VERSION", "16\n"}}, good_manifest()), "gives PG_VERSION the CRC-32C"));
    CHECK(has(said({both[0], {"PG_VERSION", "15"}}, good_manifest()), "gives PG_VERSION the size 3, but 2 bytes"));
    CHECK(has(said({both[0]}, good_manifest()), "names PG_VERSION, which did not come"));
    CHECK(has(said({both[0], both[1], {"base/5/1260", "more"}}, good_manifest()), "does not name base/5/1260, which came"));
    CHECK(has(said(both, good_manifest(), pg::SystemIdentifier(5)), "is of the cluster 7711127702963900254, not of 5"));
}

TEST_CASE("backup manifest: a text that was cut or changed anywhere is refused", "[backup]") {
    const auto text = good_manifest();
    for (std::size_t length = 0; length + 1 < text.size(); length += 3) CHECK_FALSE(said(both, text.substr(0, length)).empty());
    for (std::size_t at = 0; at + 1 < text.size(); ++at) {
        auto changed = text;
        changed[at] = changed[at] == '0' ? '1' : '0';
        INFO(at);
        CHECK_FALSE(said(both, changed).empty());
    }
}

TEST_CASE("backup manifest: other checksums, versions and shapes are refused", "[backup]") {
    const std::string head = "{ \"PostgreSQL-Backup-Manifest-Version\": ";
    const auto sha =
        "1,\n\"Files\": [\n{ \"Path\": \"a\", \"Size\": 0, \"Checksum-Algorithm\": \"SHA256\", \"Checksum\": \"00\" }],\n";
    CHECK(has(said({}, closed(head + sha)), "not the CRC-32C asked for"));
    CHECK(has(said({}, closed(head + "3,\n\"Files\": [],\n")), "is of version 3"));
    CHECK(has(said({}, closed("{ \"Files\": [],\n")), "does not tell its version"));
    CHECK(has(said({}, closed(head + "1,\n\"Files\": [{ \"Path\": \"a\" }],\n")), "without a path or size"));
    CHECK(has(said({}, "[]"), "is not a JSON object"));
    CHECK(has(said({}, head + std::string(2 << 20, ' ')), "has a line of more than"));
}

} // namespace walgd::backup
