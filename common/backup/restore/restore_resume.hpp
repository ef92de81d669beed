#pragma once
#include "common/backup/restore/restore_members.hpp"

#include <optional>
#include <span>
#include <string_view>
#include <sys/stat.h>
#include <unordered_map>

namespace walgd::backup {

/// Proves that what an earlier try of a restore noted is so: every file that it finished is there, with the size and time that it
/// had when it was finished.
class DoneCheck {
public:
    DoneCheck(const RestoreState& state, const RestoreTarget& target, std::uint32_t block_bytes);

    /// To be called before look(): these may be different now, or gone.
    void leave_out(std::span<const std::string_view> relative_names);
    /// Told of every wanted file.
    void look(std::string_view relative);
    /// Nothing missing, nothing changed.
    bool holds() const { return good_ && looked_ == files_.size(); }

private:
    struct Noted {
        std::uint64_t bytes;
        std::optional<std::int64_t> modified_ns; ///< nothing: older backups of the chain may have touched it since
    };
    bool is_there(std::string_view relative, bool as_folder, struct stat& about) const;

    const RestoreTarget& target_;
    std::unordered_map<std::uint64_t, Noted> files_;
    std::size_t looked_ = 0;
    bool good_ = true;
};

/// Goes on behind what was done: those parts leave the plan, their files count as seen, their page maps as known.
void take_over(const RestoreState& state, RestoreJob& job);

} // namespace walgd::backup
