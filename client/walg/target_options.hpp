#pragma once
#include "common/backup/restore/moment_target.hpp"

#include <CLI/CLI.hpp>
#include <optional>
#include <string>

namespace walgd::cli {

/// The moment to restore to, as the command line gives it.
class TargetOptions {
public:
    void add(CLI::App& command);
    /// Error(misconfigured) for what is no moment.
    backup::MomentTarget target() const;

private:
    std::string time_, lsn_, name_;
    std::optional<std::uint64_t> xid_;
    bool immediate_ = false, inclusive_ = false, exclusive_ = false;
};

} // namespace walgd::cli
