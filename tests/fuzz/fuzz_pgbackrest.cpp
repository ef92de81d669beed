#include "common/base/error.hpp"
#include "common/pgbackrest/info.hpp"
#include "common/pgbackrest/layout.hpp"
#include "common/pgbackrest/manifest.hpp"
#include "tests/unit/pgbackrest_support.hpp"

#include <cstdlib>

namespace {

using namespace walgd;

template <class Reader> void read(Reader reader, std::string_view text) {
    try {
        // In two cuts, so that a line may be in both.
        reader->write(text.substr(0, text.size() / 2));
        reader->write(text.substr(text.size() / 2));
        reader->finish();
    } catch (const Error&) {
    }
}

} // namespace

/// Info files and manifests of a repository, with a checksum that is right: the fuzzer need not find it.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace walgd::pgbackrest;
    const std::string text(reinterpret_cast<const char*>(data), size);
    read(std::make_unique<BackupInfoReader>("x"), text);
    const auto closed = with_checksum("[backrest]\nbackrest-format=5\n" + text);
    read(std::make_unique<BackupInfoReader>("x"), closed);
    read(std::make_unique<ArchiveInfoReader>("x"), closed);
    read(std::make_unique<ManifestReader>("x", ManifestReader::Files::wanted), closed);
    read(std::make_unique<ManifestReader>("x", ManifestReader::Files::wanted), with_checksum(manifest_text(text)));
    if (const auto name = parse_archived_name(text); name && !text.starts_with(name->file)) std::abort();
    return 0;
}
