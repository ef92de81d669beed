#pragma once
#include "common/archive/archive.hpp"

#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_set>

namespace walgd::backup {

/// Finds out whether every file that files_metadata.json names was in some tar: a part that is missing as a whole is not seen by
/// any decoder. Keeps eight bytes a member. add() from any thread.
class MemberCheck {
public:
    void add(std::string_view member);
    /// Error(corrupt) naming the first members that are missing. A backup without the document passes with a warning, as with
    /// WAL-G.
    void compare(archive::Archive& archive, const std::string& backup, bool expected);

private:
    std::mutex mutex_;
    std::unordered_set<std::uint64_t> seen_;
};

} // namespace walgd::backup
