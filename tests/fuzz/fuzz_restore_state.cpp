#include "common/backup/restore/restore_state.hpp"

#include <cstdlib>

/// What was read is composed again, to the same bytes where it is not padded otherwise; page maps survive their own text.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace walgd;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    // As the body of a block whose sum is right: the fuzzer need not find it.
    backup::RestoreState::TarMark frame{std::string(text.substr(0, text.find('\n'))), {}, {}, {}, {}};
    std::size_t good = 0;
    if (backup::parse_tar_marks(text, good).empty() != (good == 0)) std::abort();
    for (const auto& mark : backup::parse_tar_marks(backup::compose_tar_mark(frame), good)) {
        if (mark.key != frame.key) std::abort();
    }
    const auto pages = backup::FilePages::parse(text.substr(0, 4096), 8192);
    if (pages.file_bytes() > 0 && backup::FilePages::parse(pages.text(), 8192).text() != pages.text()) std::abort();
    return 0;
}
