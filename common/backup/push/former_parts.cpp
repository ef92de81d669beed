#include "common/backup/push/former_parts.hpp"

#include "common/archive/catalogue.hpp"
#include "common/archive/layout.hpp"
#include "common/backup/push/damage_report.hpp"
#include "common/backup/push/ratings.hpp"
#include "common/backup/timeline_source.hpp"
#include "common/backup/verify_state.hpp"
#include "common/base/in_parallel.hpp"

#include <algorithm>
#include <atomic>
#include <fmt/format.h>

namespace walgd::backup {

namespace {

/// WAL-G notes a file's time as it is, also when the file may be written once more in the same step of the clock; where the file
/// system keeps no fractions that is a second. (Ours does not: noted_time in file_copy.cpp.)
constexpr std::chrono::milliseconds clock_step{1100};
constexpr std::uint64_t small_object_bytes = 16 << 20;

void tell_anew(Log& log, const std::string& why) { log.info("{}: all parts are made anew", why); }

/// The newest that has a list of its files and whose sentinel can be read.
std::optional<archive::ChainLink> latest_full(archive::Archive& archive, pg::SystemIdentifier system,
                                              const std::stop_token& stop) {
    auto backups = run_blocking(archive.io, archive::list_backups(archive.storage), stop);
    for (auto backup = backups.rbegin(); backup != backups.rend(); ++backup) {
        try {
            auto sentinel = run_blocking(archive.io, archive::read_sentinel(archive.storage, backup->name), stop);
            const bool usable = !sentinel.delta && !sentinel.files_metadata_disabled && sentinel.system == system &&
                                sentinel.start_lsn && sentinel.finish_lsn;
            if (usable) return archive::ChainLink{backup->name, std::move(sentinel)};
        } catch (const Error& error) {
            if (error.kind() != ErrorKind::corrupt) throw;
        }
    }
    return std::nullopt;
}

/// What is damaged or of another key is of no use; a storage that does not answer says nothing of it.
bool is_of_the_object(const Error& error) {
    return error.kind() == ErrorKind::corrupt || error.kind() == ErrorKind::misconfigured || error.kind() == ErrorKind::refused;
}

bool is_cancelled(const Error& error) { return error.kind() == ErrorKind::cancelled; }

} // namespace

FormerParts::FormerParts(const archive::Archive& archive, archive::ChainLink full, std::stop_token stop)
    : archive_(archive), full_{{std::move(full)}}, stop_(std::move(stop)),
      document_("the temporary copy of a former files_metadata.json") {}

std::unique_ptr<FormerParts> FormerParts::choose(archive::Archive& archive, const pg::ServerFacts& facts, std::stop_token stop) {
    // As a delta's parent: in the storage that the new backup goes to.
    auto* const home = run_blocking(archive.io, archive.storage.home(), stop);
    auto there = archive::with_storage(archive, *home);
    auto full = latest_full(there, facts.system, stop);
    if (!full) {
        tell_anew(archive.log, "There is no full backup of this cluster with a list of its files");
        return nullptr;
    }
    const auto name = full->backup;
    try {
        auto former = std::make_unique<FormerParts>(there, std::move(*full), std::move(stop));
        former->read_files();
        former->look_at_parts();
        if (!former->has_root_) {
            tell_anew(archive.log, fmt::format("{} was copied by BASE_BACKUP, not file by file", name));
        } else if (!former->same_packing()) {
            tell_anew(archive.log, fmt::format("{} was not packed with the compression and the key of now", name));
        } else {
            return former;
        }
    } catch (const Error& error) {
        if (!is_of_the_object(error)) throw;
        tell_anew(archive.log, fmt::format("Nothing can be taken over from {} ({})", name, error.what()));
    }
    return nullptr;
}

bool FormerParts::noted_well(const archive::FileDescription& file) const {
    if (file.is_incremented || file.is_skipped) return false;
    return made_by_us() || file.modified + clock_step < full_.sentinel().start_time;
}

void FormerParts::read_files() {
    const auto key = archive::files_metadata_key(full_.name());
    const OnIoThread reader(archive_.io, run_blocking(archive_.io, archive_.storage.get(key, {}), stop_));
    if (!reader) throw Error(ErrorKind::corrupt, fmt::format("{} is not there", key.path()));
    Blob chunk(storage::read_chunk_bytes);
    for (;;) {
        const auto count = run_blocking(archive_.io, reader->read({chunk.data(), chunk.capacity()}), stop_);
        if (count == 0) break;
        document_.append(text_of({chunk.data(), count}));
    }
    archive::FilesMetadataReader::Callbacks callbacks;
    callbacks.file = [this](std::string_view member, const archive::FileDescription& file) {
        has_root_ = has_root_ || member == "/";
        if (noted_well(file)) files_.add(member, file.modified);
    };
    callbacks.tar_member = [this](std::string_view tar, std::string_view member) {
        const auto number = number_of(tar);
        ++parts_[number].listed;
        members_.push_back({ParentFiles::hash(member), number});
    };
    parse(std::move(callbacks));
    files_.seal();
    std::ranges::sort(members_, {}, &Member::name);
}

void FormerParts::parse(archive::FilesMetadataReader::Callbacks callbacks) {
    archive::FilesMetadataReader document(std::move(callbacks), archive::files_metadata_key(full_.name()).path());
    document_.copy_to([&document](std::string_view text) { document.write(text); });
    document.finish();
}

std::uint32_t FormerParts::number_of(std::string_view tar) {
    const auto found = numbers_.find(tar);
    if (found != numbers_.end()) return found->second;
    const auto number = static_cast<std::uint32_t>(parts_.size());
    Part part;
    part.tar = tar;
    parts_.push_back(std::move(part));
    numbers_.emplace(tar, number);
    return number;
}

storage::ObjectKey FormerParts::key_of(const Part& part) const { return archive::tar_key(full_.name(), part.tar); }

void FormerParts::look_at_parts() {
    const auto folder = archive::tar_folder(full_.name());
    const auto page = run_blocking(archive_.io, storage::list_all(archive_.storage, folder, false), stop_);
    for (const auto& object : page.objects) {
        const auto name = std::string_view(object.key.path()).substr(folder.size());
        const auto* compression = archive::compression_of_tar(name);
        if (name.starts_with("pg_control.tar") && compression != nullptr) control_ = {object.key, object.bytes, compression, {}};
        const auto known = numbers_.find(name);
        if (known == numbers_.end() || compression != archive_.packing.compression) continue;
        auto& part = parts_[known->second];
        part.stored_bytes = object.bytes;
        // WAL-G copies parts of other keys too.
        part.there = name.starts_with("part_") || (name.starts_with("copy_") && made_by_us());
    }
    const auto state_key = verify_state_key();
    const auto text = run_blocking(archive_.io, storage::get_whole(archive_.storage, state_key, small_object_bytes), stop_);
    if (!text) return;
    try {
        for (const auto& damage : parse_verify_state(text_of(text->view()), state_key.path()).damaged) {
            for (auto& part : parts_) part.there = part.there && damage.object != key_of(part).path();
        }
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::corrupt) throw;
    }
}

/// One backup has one key, so its smallest object tells of all.
bool FormerParts::same_packing() {
    if (!control_ || control_->compression != archive_.packing.compression) return false;
    const auto* cipher = archive_.packing.cipher;
    if (cipher != nullptr) {
        const auto content =
            run_blocking(archive_.io, storage::get_whole(archive_.storage, control_->key, small_object_bytes), stop_);
        if (!content) return false;
        if (const auto same = cipher->same_keys(content->view())) return *same;
    }
    try {
        fetch_control(archive_, *control_, stop_);
        return true;
    } catch (const Error& error) {
        if (!is_of_the_object(error)) throw;
        return false;
    }
}

bool FormerParts::begin(const pg::BackupStart& start, const std::string& pgdata) {
    std::string reason;
    try {
        reason = reason_against(full_, start, read_history(archive_, pgdata, start.timeline, stop_));
    } catch (const Error& error) {
        if (!is_of_the_object(error)) throw;
        reason = error.what();
    }
    if (!reason.empty()) tell_anew(archive_.log, reason);
    return reason.empty();
}

std::span<FormerParts::Member> FormerParts::members_of(const ParentFiles::Name& name) {
    const auto found = std::ranges::equal_range(members_, name, {}, &Member::name);
    return {found.begin(), found.end()};
}

std::span<const FormerParts::Member> FormerParts::members_of(const ParentFiles::Name& name) const {
    const auto found = std::ranges::equal_range(members_, name, {}, &Member::name);
    return {found.begin(), found.end()};
}

void FormerParts::meet(const WalkedEntry& entry) {
    const auto name = ParentFiles::hash(entry.member);
    const auto members = members_of(name);
    if (entry.type == WalkedEntry::Type::directory) {
        for (auto& member : members) {
            member.folder = true;
            ++parts_[member.part].unchanged;
        }
        return;
    }
    const auto& time = entry.about.st_mtim;
    const Time modified(std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec));
    // In two parts at once is no file.
    if (members.size() != 1 || files_.find(name) != modified) return;
    auto& part = parts_[members.front().part];
    ++part.unchanged;
    if (entry.type == WalkedEntry::Type::file) part.plain_bytes += static_cast<std::uint64_t>(entry.about.st_size);
}

bool FormerParts::is_unchanged(const Part& part) const {
    return part.there && part.plain_bytes > 0 && part.unchanged == part.listed;
}

std::vector<std::string> FormerParts::unchanged() const {
    std::vector<std::string> tars;
    for (const auto& part : parts_) {
        if (is_unchanged(part)) tars.push_back(part.tar);
    }
    return tars;
}

bool FormerParts::hold(const WalkedEntry& entry) const {
    if (entry.type == WalkedEntry::Type::directory) return false;
    return std::ranges::any_of(members_of(ParentFiles::hash(entry.member)),
                               [this](const Member& member) { return !parts_[member.part].new_tar.empty(); });
}

PartsResult FormerParts::take(UploadRoom& room, const CopySource& source, FilesSpool& files, const PartsOptions& parts,
                              unsigned at_once) {
    PgdataWalk walk(parts.pgdata, parts.left_out);
    walk.leave_out_tablespaces_but(parts.tablespaces);
    walk.run([&](const WalkedEntry& entry) {
        if (room.stop.stop_requested()) throw Error(ErrorKind::cancelled, "the backup was cancelled");
        meet(entry);
    });
    const auto taken = copy_all(room, parts, at_once);
    PartsResult result;
    for (const auto* part : taken) {
        result.plain_bytes += part->plain_bytes;
        result.stored_bytes += part->stored_bytes;
    }
    if (taken.empty()) {
        tell_anew(source.log, fmt::format("No part of {} could be taken over", full_.name()));
        return result;
    }
    note_files(source, files, parts, result);
    room.progress.bytes_done += result.plain_bytes;
    source.log.info("{} of the {} parts of {} hold only what is unchanged: the storage copied them, {} MiB", taken.size(),
                    parts_.size(), full_.name(), result.stored_bytes >> 20);
    return result;
}

/// Those that were copied.
std::vector<FormerParts::Part*> FormerParts::copy_all(UploadRoom& room, const PartsOptions& parts, unsigned at_once) {
    std::vector<Part*> wanted;
    for (auto& part : parts_) {
        if (is_unchanged(part)) wanted.push_back(&part);
    }
    std::atomic<bool> in_vain = false;
    in_parallel(wanted.size(), at_once, [&](std::size_t index, const std::atomic<bool>& failed) {
        if (failed || in_vain) return;
        auto& part = *wanted[index];
        const auto stem = fmt::format("copy_{}", index);
        auto tar = archive::tar_name(stem, archive_.packing.compression->suffix());
        const auto to = archive::tar_key(parts.backup, tar, parts.folder);
        auto reason = reason_not_copied(room, part, to);
        if (reason.empty()) {
            room.stored.add(to, part.stored_bytes);
            part.new_tar = std::move(tar);
        } else if (!in_vain.exchange(true)) {
            room.archive.log.warn("{} is not taken over, its files are read anew, and no more parts are copied: {}",
                                  key_of(part).path(), reason);
        }
    });
    std::erase_if(wanted, [](const Part* part) { return part->new_tar.empty(); });
    return wanted;
}

/// Copies it; empty: it was.
std::string FormerParts::reason_not_copied(UploadRoom& room, const Part& part, const storage::ObjectKey& to) const {
    // Of several storages those that answer, as for the intent: a new backup is in one.
    auto& storage = room.archive.storage.answering();
    const auto& io = room.archive.io;
    if (run_blocking(io, storage.head(to), room.stop))
        throw Error(ErrorKind::refused,
                    fmt::format("{} is in {} already, and nothing is overwritten", to.path(), storage.describe()),
                    "another backup of the same name is being taken, or was left by one: run backup-push again later");
    std::string reason;
    try {
        const auto outcome = run_blocking(io, storage.copy(key_of(part), to), room.stop);
        if (outcome == storage::CopyOutcome::unable) return "the storage cannot copy it by itself";
        if (outcome == storage::CopyOutcome::absent) return "it was deleted meanwhile";
        const auto copied = run_blocking(io, storage.head(to), room.stop);
        if (copied && copied->bytes == part.stored_bytes) return {};
        reason = fmt::format("its copy has {} bytes, and it had {}", copied ? copied->bytes : 0, part.stored_bytes);
    } catch (const Error& error) {
        if (is_cancelled(error)) throw;
        reason = error.what();
    }
    // What may be there is no part of the backup.
    if (!run_blocking(io, storage.head(to), room.stop)) return reason;
    std::vector<storage::ObjectKey> keys{to};
    const auto failures = run_blocking(io, storage.remove(std::move(keys)), room.stop);
    if (!failures.empty()) throw failures.front().error;
    return reason;
}

void FormerParts::note_files(const CopySource& source, FilesSpool& files, const PartsOptions& parts, PartsResult& result) {
    std::string tar;
    std::vector<std::string> members;
    auto end_part = [&] {
        if (!members.empty()) files.part(parts_[number_of(tar)].new_tar, members);
        members.clear();
    };
    archive::FilesMetadataReader::Callbacks callbacks;
    callbacks.file = [&](std::string_view member, archive::FileDescription file) {
        const auto taken = std::ranges::any_of(members_of(ParentFiles::hash(member)), [this](const Member& one) {
            return !one.folder && !parts_[one.part].new_tar.empty();
        });
        if (!taken) return;
        file.updates = parts.ratings != nullptr ? parts.ratings->of(member) : 0;
        result.corrupt_blocks += file.corrupt_block_count;
        if (file.corrupt_block_count > 0) warn_of_damage(source.log, parts.pgdata + std::string(member), file);
        files.add(member, file);
    };
    callbacks.tar_member = [&](std::string_view of, std::string_view member) {
        if (of != tar) end_part();
        tar = of;
        if (!parts_[number_of(of)].new_tar.empty()) members.emplace_back(member);
    };
    parse(std::move(callbacks));
    end_part();
}

} // namespace walgd::backup
