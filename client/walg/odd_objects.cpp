#include "client/walg/odd_objects.hpp"

#include "common/archive/archive_summary.hpp"

namespace walgd::cli {

void tell_odd_objects(Log& log, const archive::WalCatalogue& wal, std::string_view folder, std::uint64_t left_out) {
    for (std::size_t index = 0; index < wal.odd.size() && index < archive::odd_named_max; ++index)
        log.warn("{}{} {}", folder, wal.odd[index].name, wal.odd[index].what);
    const auto count = wal.odd.size() + left_out;
    if (count > archive::odd_named_max) log.warn("{} more such objects are in {}", count - archive::odd_named_max, folder);
}

} // namespace walgd::cli
