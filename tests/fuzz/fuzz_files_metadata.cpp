#include "common/archive/documents.hpp"
#include "common/base/error.hpp"

#include <algorithm>
#include <cstdlib>

/// First byte: the size of the pieces.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace walgd;
    if (size == 0) return 0;
    const std::size_t piece = data[0] + std::size_t{1};
    std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
    try {
        archive::FilesMetadataReader::Callbacks callbacks;
        callbacks.file = [](std::string_view, const archive::FileDescription&) {};
        callbacks.tar_member = [](std::string_view, std::string_view) {};
        callbacks.relation = [](const archive::RelationEntry&) {};
        callbacks.database = [](std::string_view, std::uint32_t) {};
        archive::FilesMetadataReader reader(callbacks, "fuzz");
        for (; !text.empty(); text.remove_prefix(std::min(piece, text.size()))) reader.write(text.substr(0, piece));
        reader.finish();
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::corrupt) std::abort();
    }
    return 0;
}
