#include "common/base/error.hpp"
#include "common/pgbackrest/info.hpp"
#include "common/pgbackrest/layout.hpp"
#include "common/pgbackrest/manifest.hpp"
#include "common/pgbackrest/restore_plan.hpp"
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

/// Every file is read once, within its run.
void check_plan(const std::string& text) {
    pgbackrest::Manifest manifest;
    try {
        pgbackrest::ManifestReader reader("x", pgbackrest::ManifestReader::Files::wanted);
        reader.write(text);
        manifest = reader.finish();
    } catch (const Error&) {
        return;
    }
    const auto plan = pgbackrest::plan_runs(manifest);
    std::size_t read = 0;
    for (const auto& run : plan.runs) {
        if (run.first != read) std::abort();
        for (auto at = run.first; at < run.first + run.count; ++at) {
            const auto& file = manifest.files[plan.order[at]];
            const auto begin = run.whole ? 0 : file.bundle_offset;
            if (begin < run.offset && !run.whole) std::abort();
            if (begin + file.stored_bytes > run.offset + run.bytes) std::abort();
        }
        read += run.count;
    }
    if (read != plan.order.size()) std::abort();
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
    check_plan(with_checksum(manifest_text(text)));
    if (const auto name = parse_archived_name(text); name && !text.starts_with(name->file)) std::abort();
    return 0;
}
