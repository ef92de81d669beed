#pragma once
#include "common/archive/archive.hpp"
#include "common/archive/retention/retention_policy.hpp"
#include "common/backup/verify.hpp"

#include <string>

namespace walgd::daemon {

/// What the schedule does beside backups. Each says what came of it, and throws when a person should look.
/// Deletes what `policy` lets go, as `walg delete apply --confirm` does.
awaitable<std::string> apply_retention(archive::Archive& archive, archive::RetentionPolicy policy);
/// Reads the archive back, as `walg verify --since-last` does, on `thread`. Error(corrupt) names what is damaged.
awaitable<std::string> verify_archive(archive::Archive& archive, asio::any_io_executor thread, backup::VerifyOptions options,
                                      std::stop_token stop);

} // namespace walgd::daemon
