#include "common/pg/base_backup_message.hpp"
#include "tests/unit/async_support.hpp"

namespace walgd::pg {

using test::kind_of;
using namespace std::string_literals;

namespace {

ErrorKind kind_of_message(const std::string& message) {
    return kind_of([&] { parse_base_backup_message(bytes_of(message)); });
}

} // namespace

TEST_CASE("messages of a base backup are read", "[pg]") {
    const auto begin = "n16384.tar\0/srv/space\0"s, base = "nbase.tar\0\0"s;
    const auto tablespace = std::get<ArchiveBegins>(parse_base_backup_message(bytes_of(begin)));
    CHECK(tablespace.name == "16384.tar");
    CHECK(tablespace.path == "/srv/space");
    const auto directory = std::get<ArchiveBegins>(parse_base_backup_message(bytes_of(base)));
    CHECK(directory.name == "base.tar");
    CHECK(directory.path.empty());
    CHECK(text_of(std::get<ArchiveData>(parse_base_backup_message(bytes_of("dsome bytes"))).bytes) == "some bytes");
    CHECK(std::get<ArchiveData>(parse_base_backup_message(bytes_of("d"))).bytes.empty());
    CHECK(std::holds_alternative<ManifestBegins>(parse_base_backup_message(bytes_of("m"))));
    const auto progress = "p\0\0\0\x16\xB3\x74\xD8\x48"s;
    CHECK(std::get<ServerProgress>(parse_base_backup_message(bytes_of(progress))).bytes == 0x16B374D848);
}

TEST_CASE("a message of a base backup that is cut, too long or unknown is an error of the protocol", "[pg]") {
    for (const auto& message : {""s, "n"s, "nbase.tar"s, "nbase.tar\0"s, "nbase.tar\0/srv"s, "nbase.tar\0\0x"s, "mx"s, "p"s,
                                "p\0\0\0\0\0\0\0"s, "p\0\0\0\0\0\0\0\0\0"s, "w"s, "\0"s})
        CHECK(kind_of_message(message) == ErrorKind::protocol);
}

} // namespace walgd::pg
