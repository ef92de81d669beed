#pragma once
#include "common/archive/archive.hpp"
#include "common/codec/tar_reader.hpp"
#include "common/pg/control_file.hpp"

#include <functional>
#include <stop_token>
#include <string>

namespace walgd::backup {

/// One tar of a backup as it lies in the storage.
struct TarObject {
    storage::ObjectKey key;
    std::uint64_t bytes = 0;
    const codec::Compression* compression = nullptr;
    std::string version; ///< of the content, as far as the storage tells: changes when the object is replaced
    /// False: the backup lists its parts, and not this one. Another try of it may have left it, under whose name WAL-G began
    /// anew.
    bool listed = true;
};

/// Fetches the tar and tells `handler` its members, decoding one chunk while the next is on its way. `on_stored` is told of every
/// chunk; it throws to stop. `helpers`, if any, decode ahead. Errors name the object. Blocks; for a job's thread.
void fetch_tar(archive::Archive& archive, const TarObject& tar, codec::TarReader::Handler& handler, std::stop_token stop,
               const std::function<void(std::size_t)>& on_stored, HelperThreads* helpers = nullptr);

/// The same for a handler that needs little of the tar, or has much of it: that is not fetched, where the tar tells what is
/// where.
void fetch_from_tar(archive::Archive& archive, const TarObject& tar, codec::TarReader::Handler& handler, std::stop_token stop,
                    const std::function<void(std::size_t)>& on_stored, HelperThreads* helpers = nullptr);

/// Error(corrupt): an object that was listed is not there.
[[noreturn]] void refuse_vanished();

/// What the pg_control in a tar says.
pg::ControlFile fetch_control(archive::Archive& archive, const TarObject& tar, std::stop_token stop);

} // namespace walgd::backup
