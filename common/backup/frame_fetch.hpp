#pragma once
#include "common/backup/tar_fetch.hpp"
#include "common/codec/frame_table.hpp"

#include <optional>
#include <vector>

namespace walgd::backup {

/// The frames of a tar that says where they begin and is large enough for that to help; nothing of all others, of encrypted ones
/// too. Blocks; for a job's thread.
std::optional<std::vector<codec::Frame>> fetch_frame_table(archive::Archive& archive, const TarObject& tar,
                                                           const std::stop_token& stop);

/// fetch_tar() for a handler that needs little of the tar, or has much of it: frames that it can do without are not asked for
/// where they are many in a row.
void fetch_by_frames(archive::Archive& archive, const TarObject& tar, const std::vector<codec::Frame>& frames,
                     codec::TarReader::Handler& handler, const std::stop_token& stop,
                     const std::function<void(std::size_t)>& on_stored);

} // namespace walgd::backup
