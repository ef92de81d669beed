#include "client/walg/odd_objects.hpp"

namespace walgd::cli {

namespace {

constexpr std::size_t lines_max = 100;

} // namespace

void tell_odd_objects(Log& log, const archive::WalCatalogue& wal, std::string_view folder) {
    for (std::size_t index = 0; index < wal.odd.size() && index < lines_max; ++index)
        log.warn("{}{} {}: it counts for nothing", folder, wal.odd[index].name, wal.odd[index].what);
    if (wal.odd.size() > lines_max) log.warn("{} more such objects are in {}", wal.odd.size() - lines_max, folder);
}

} // namespace walgd::cli
