#include "common/backup/restore_member_check.hpp"

#include "common/archive/documents.hpp"
#include "common/archive/layout.hpp"
#include "common/backup/restore_target.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <functional>

namespace walgd::backup {

namespace {

std::uint64_t hash_of(std::string_view member) { return std::hash<std::string>()(relative_member(member)); }

} // namespace

void MemberCheck::add(std::string_view member) {
    const auto hash = hash_of(member);
    const std::lock_guard lock(mutex_);
    seen_.insert(hash);
}

void MemberCheck::compare(archive::Archive& archive, const std::string& backup, bool expected) {
    const auto key = archive::files_metadata_key(backup);
    const OnIoThread reader(archive.io, run_blocking(archive.io, archive.storage.get(key, {})));
    if (!reader) {
        if (expected) archive.log.warn("{} is not there: whether every file was in the backup cannot be checked", key.path());
        return;
    }
    std::vector<std::string> missing;
    std::size_t missing_count = 0;
    archive::FilesMetadataReader::Callbacks callbacks;
    callbacks.file = [&](std::string_view member, const archive::FileDescription& file) {
        if (file.is_skipped || seen_.contains(hash_of(member))) return;
        if (++missing_count <= 5) missing.emplace_back(member);
    };
    archive::FilesMetadataReader document(std::move(callbacks), key.path());
    Blob chunk(256 << 10);
    for (;;) {
        chunk.clear();
        const auto count = run_blocking(archive.io, reader->read(chunk.room()));
        if (count == 0) break;
        chunk.commit(count);
        document.write(text_of(chunk.view()));
    }
    document.finish();
    if (missing_count > 0)
        throw Error(ErrorKind::corrupt,
                    fmt::format("backup {} names {} members that are in none of its parts: {}{}", backup, missing_count,
                                fmt::join(missing, ", "), missing_count > missing.size() ? " ..." : ""),
                    "a part is missing from the storage; restore another backup: walg backup-list");
}

} // namespace walgd::backup
