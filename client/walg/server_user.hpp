#pragma once
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

namespace walgd::cli {

/// The data directory's group, or that of `postgres` where none is known; nothing where there is no such user.
std::optional<gid_t> server_group(const std::string& pgdata);

/// The home folder of the user that PostgreSQL and walgd run as; empty where there is none.
std::string server_home(const std::string& pgdata);

/// While it lives, root is the user that PostgreSQL and walgd run as, in all threads: the owner of the data directory, or
/// `postgres` where none is known. A server knows a local caller by that, and what is tried in a storage folder stays that
/// user's. Nothing happens where we are not root, or there is no such user.
class ServerUser {
public:
    explicit ServerUser(const std::string& pgdata);
    ServerUser(const ServerUser&) = delete;
    ~ServerUser();

private:
    bool changed_ = false;
    gid_t own_group_ = 0;
    std::vector<gid_t> own_groups_;
};

} // namespace walgd::cli
