#include "client/walg/server_user.hpp"

#include "common/base/error.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

namespace walgd::cli {

namespace {

const passwd* user_of(const std::string& pgdata) {
    struct stat folder{};
    return ::stat(pgdata.c_str(), &folder) == 0 ? ::getpwuid(folder.st_uid) : ::getpwnam("postgres");
}

} // namespace

std::optional<gid_t> server_group(const std::string& pgdata) {
    struct stat folder{};
    if (::stat(pgdata.c_str(), &folder) == 0) return folder.st_gid;
    const auto* user = ::getpwnam("postgres");
    return user == nullptr ? std::nullopt : std::optional(user->pw_gid);
}

std::string server_home(const std::string& pgdata) {
    const auto* user = user_of(pgdata);
    return user == nullptr ? "" : user->pw_dir;
}

ServerUser::ServerUser(const std::string& pgdata) {
    const auto* user = ::geteuid() == 0 ? user_of(pgdata) : nullptr;
    if (user == nullptr || user->pw_uid == 0) return;
    own_group_ = ::getegid();
    own_groups_.resize(static_cast<std::size_t>(std::max(0, ::getgroups(0, nullptr))));
    if (::getgroups(static_cast<int>(own_groups_.size()), own_groups_.data()) < 0) throw_errno("cannot list our groups");
    // The user last: after that no right is left to change the groups.
    if (::initgroups(user->pw_name, user->pw_gid) != 0 || ::setegid(user->pw_gid) != 0 || ::seteuid(user->pw_uid) != 0)
        throw_errno(fmt::format("cannot become the user {}", user->pw_name));
    changed_ = true;
}

ServerUser::~ServerUser() {
    if (!changed_) return;
    // None of these can fail: the right to it was kept.
    static_cast<void>(::seteuid(0) == 0 && ::setegid(own_group_) == 0 &&
                      ::setgroups(own_groups_.size(), own_groups_.data()) == 0);
}

} // namespace walgd::cli
