#include "common/backup/restore/preflight.hpp"

#include "common/archive/catalogue.hpp"
#include "common/archive/chain.hpp"
#include "common/archive/layout.hpp"
#include "common/backup/content_check.hpp"
#include "common/backup/restore/backup_fetch.hpp"
#include "common/backup/restore/restore_plan.hpp"
#include "common/backup/restore/restore_state.hpp"
#include "common/backup/restore/restore_target.hpp"
#include "common/base/files.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fmt/format.h>
#include <set>
#include <unistd.h>

namespace walgd::backup {

namespace fs = std::filesystem;
using archive::Archive;

namespace {

constexpr std::uint64_t small_tar_bytes_max = 64 << 20;

class Nowhere : public codec::Sink {
public:
    void write(ByteView bytes) override { bytes_ += bytes.size(); }
    void finish() override {}
    std::uint64_t bytes() const { return bytes_; }

private:
    std::uint64_t bytes_ = 0;
};

/// Decodes a whole tar, to find out whether it can be.
void decode(Archive& archive, const storage::ObjectInfo& tar, std::stop_token stop) {
    const auto blob = run_blocking(archive.io, storage::get_whole(archive.storage, tar.key, small_tar_bytes_max), stop);
    const auto* compression = archive::compression_of_tar(tar.key.path());
    if (!blob || compression == nullptr)
        throw Error(ErrorKind::corrupt, fmt::format("{} is gone, or of a format that nobody knows", tar.key.path()),
                    "restore another backup: walg backup-list");
    try {
        Nowhere nowhere;
        archive::UnpackChain chain(archive.packing.cipher, *compression, nowhere);
        chain.head().write(blob->view());
        chain.head().finish();
        if (nowhere.bytes() == 0) throw Error(ErrorKind::corrupt, "it is empty");
    } catch (const Error& error) {
        throw Error(error.kind(), fmt::format("{} cannot be read: {}", tar.key.path(), error.what()),
                    "is it of another key? Nothing was written");
    }
}

struct CheckedLink {
    std::uint64_t bytes = 0; ///< of its tars
    std::optional<storage::ObjectKey> control;
};

CheckedLink check_link(Archive& archive, const std::string& backup, std::stop_token stop) {
    const auto page = run_blocking(archive.io, storage::list_all(archive.storage, archive::tar_folder(backup), false), stop);
    CheckedLink link;
    std::size_t parts = 0;
    for (const auto& tar : page.objects) {
        const auto name = std::string_view(tar.key.path()).substr(tar.key.path().rfind('/') + 1);
        link.bytes += tar.bytes;
        parts += !name.starts_with("pg_control.tar") && !name.starts_with("backup_label.tar"); // "part_", WAL-G's "copy_"
        if (!name.starts_with("pg_control.tar")) continue;
        link.control = tar.key;
        decode(archive, tar, stop);
    }
    if (parts == 0 || !link.control)
        throw Error(ErrorKind::corrupt,
                    fmt::format("backup {} has {} in {}", backup, parts == 0 ? "no parts" : "no pg_control tar",
                                archive.storage.describe()),
                    "restore another backup: walg backup-list");
    return link;
}

/// The major version of the programs in a folder; 0 if there are none.
int major_version_in(const std::string& folder) {
    const auto postgres = folder + "/postgres";
    if (::access(postgres.c_str(), X_OK) != 0) return 0;
    if (folder.find('\'') != std::string::npos) return 0;
    std::FILE* answer = ::popen(fmt::format("'{}' --version 2>/dev/null", postgres).c_str(), "r");
    if (answer == nullptr) return 0;
    char line[256] = "";
    // A signal that asks us to stop ends the wait for the answer, and is heard elsewhere.
    while (std::fgets(line, sizeof line, answer) == nullptr && std::ferror(answer) != 0 && errno == EINTR) std::clearerr(answer);
    int major = 0;
    // "postgres (PostgreSQL) 15.8 (Debian 15.8-0+deb12u1)"
    if (std::sscanf(line, "postgres (PostgreSQL) %d", &major) != 1) major = 0;
    ::pclose(answer);
    return major;
}

std::vector<std::string> usual_folders(int major) {
    std::vector<std::string> folders{fmt::format("/usr/lib/postgresql/{}/bin", major), fmt::format("/usr/pgsql-{}/bin", major)};
    const auto* path = std::getenv("PATH");
    std::string_view rest = path == nullptr ? "" : path;
    while (!rest.empty()) {
        const auto folder = rest.substr(0, rest.find(':'));
        rest.remove_prefix(std::min(folder.size() + 1, rest.size()));
        folders.emplace_back(folder);
    }
    std::error_code error;
    for (const auto& version : fs::directory_iterator("/usr/lib/postgresql", error))
        folders.push_back(version.path().string() + "/bin");
    return folders;
}

} // namespace

void check_writable(const std::string& folder, const std::string& what) {
    const auto place = existing_part(folder);
    if (!fs::is_directory(place))
        throw Error(ErrorKind::refused, fmt::format("{} {} cannot be made: {} is no folder", what, folder, place),
                    "nothing was written");
    if (::access(place.c_str(), W_OK | X_OK) != 0)
        throw Error(ErrorKind::refused, fmt::format("this user may not write into {}, where {} {} is to be", place, what, folder),
                    "nothing was written; restore as the user that PostgreSQL runs as");
}

CheckedChain check_chain(Archive& archive, const std::string& backup, std::stop_token stop) {
    std::set<std::string> links;
    std::uint64_t bytes = 0;
    CheckedChain checked;
    for (auto link = backup; !link.empty();) {
        if (!links.insert(link).second)
            throw Error(ErrorKind::corrupt, fmt::format("backup {} builds on itself, by way of {}", backup, link),
                        "restore another backup: walg backup-list");
        const auto found = check_link(archive, link, stop);
        bytes += found.bytes;
        if (link == backup) checked.control = read_backup_control(archive, *found.control, stop);
        const auto sentinel = run_blocking(archive.io, archive::read_sentinel(archive.storage, link), stop);
        link = sentinel.delta ? sentinel.delta->from : std::string();
    }
    // As the restore itself plans it.
    FetchOptions options;
    options.backup = backup;
    const auto plan = plan_objects(archive, options, stop);
    plan_files(archive, *plan, [](std::string_view) {}, stop);
    checked.text =
        fmt::format("{}: {} link{}, {} MiB stored, readable", backup, links.size(), links.size() == 1 ? "" : "s", bytes >> 20);
    return checked;
}

std::string check_place(const std::string& folder, const archive::Sentinel& sentinel, const std::string& restore_spec) {
    RestoreTarget target(folder);
    // What an earlier try left is no obstacle, nor is its space taken.
    const bool unfinished = RestoreState::exists(target.path());
    if (unfinished)
        target.set(RestoreTarget::Holds::unfinished, false);
    else
        target.require_empty();
    check_writable(target.path(), "the folder");
    std::size_t tablespaces = 0;
    if (const auto spec = places_of_tablespaces(sentinel, restore_spec)) {
        for (const auto& entry : spec->tablespaces) {
            target.add_tablespace(entry);
            if (!fs::path(entry.location).is_absolute()) continue; // in place
            check_writable(entry.location, "tablespace folder");
            ++tablespaces;
        }
    }
    // A delta's own bytes are only what changed.
    const auto bytes = static_cast<std::uint64_t>(
        std::max<std::int64_t>(sentinel.delta ? sentinel.data_catalog_bytes : sentinel.uncompressed_bytes, 0));
    const auto doubt = target.check_space(bytes);
    const auto fits = doubt.empty() ? fmt::format("{} MiB fit", bytes >> 20) : doubt;
    return fmt::format("{}: {}, {}{}", target.path(), unfinished ? "an unfinished restore" : "empty", fits,
                       tablespaces == 0 ? "" : fmt::format(", {} tablespace folders usable", tablespaces));
}

PostgresPrograms find_postgres(int major, const std::string& given) {
    PostgresPrograms found;
    const auto folders = given.empty() ? usual_folders(major) : std::vector{given};
    for (const auto& folder : folders) {
        const auto version = major_version_in(folder);
        if (version == major) {
            found.folder = folder;
            return found;
        }
        const auto text = fmt::format("{} (PostgreSQL {})", folder, version);
        if (version != 0 && std::ranges::count(found.others, text) == 0) found.others.push_back(text);
    }
    return found;
}

} // namespace walgd::backup
