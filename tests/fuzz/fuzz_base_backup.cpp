#include "common/backup/push/backup_manifest.hpp"
#include "common/base/error.hpp"
#include "common/pg/base_backup_message.hpp"

#include <cstdlib>

/// What a server sends in a base backup, but for the tars: messages of the stream, and the manifest, in pieces of any size.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace walgd;
    const auto bytes = std::as_bytes(std::span(data, size));
    try {
        const auto message = pg::parse_base_backup_message(bytes);
        if (const auto* content = std::get_if<pg::ArchiveData>(&message); content != nullptr && content->bytes.size() >= size)
            std::abort();
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::protocol) std::abort();
    }
    if (size == 0) return 0;
    const std::size_t piece = std::size_t{data[0]} + 1;
    std::size_t at = 1;
    auto next = [&] {
        const auto part = text_of(bytes).substr(std::min(at, size), piece);
        at += piece;
        return std::string(part);
    };
    try {
        backup::read_backup_manifest(next, [](const backup::ManifestFile& file) {
            if (file.path.empty()) std::abort();
        });
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::corrupt) std::abort();
    }
    return 0;
}
