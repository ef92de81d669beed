#pragma once
#include "common/backup/pgdata_walk.hpp"
#include "common/backup/push/delta_parent.hpp"
#include "common/backup/push/parent_files.hpp"
#include "common/backup/push/parts.hpp"
#include "common/backup/push/text_spool.hpp"
#include "common/backup/tar_fetch.hpp"

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

namespace walgd::backup {

/// The parts of the latest full backup, those of which a new one takes over whose files are all unchanged (WAL-G's copy composer,
/// walg-format.md 1.2): the storage copies them, and they are not read and sent again.
///  - A file is unchanged by the rule that a delta leaves it out by: its mtime is the one that was noted when it was read. It is
///    looked at after the new backup began: what changes later comes out of the WAL.
///  - Folders of a part need only be there still: they are in other parts of the new backup as well.
///  - A part with an increment, or of which anything is not known, is not taken, nor is one that the last verify found damaged.
///  - The former backup must have been packed as the new one is: same compression, same key.
/// Lives as long as the copy.
class FormerParts {
public:
    /// Before the server starts the backup. nullptr: there is none to take from; why, the log tells.
    static std::unique_ptr<FormerParts> choose(archive::Archive& archive, const pg::ServerFacts& facts, std::stop_token stop);

    /// The server started the backup. False, with the reason in the log: the former one is not of the server's past.
    bool begin(const pg::BackupStart& start, const std::string& pgdata);
    /// Finds the parts that are unchanged in the cluster as `parts` walks it, lets the storage copy them into the backup, and
    /// notes their files. A part that cannot be copied is left out, with a warning. `log` of `source`: what is damaged in them is
    /// told again.
    PartsResult take(UploadRoom& room, const CopySource& source, FilesSpool& files, const PartsOptions& parts, unsigned at_once);
    /// Whether the entry is in a part that was taken: a file or a link.
    bool hold(const WalkedEntry& entry) const;

    // What follows are the steps of the above, for tests.

    FormerParts(const archive::Archive& archive, archive::ChainLink full, std::stop_token stop);
    /// Reads the former backup's list of files and parts. Error(corrupt) when it is not there or damaged.
    void read_files();
    /// Which parts the storage has, and which of them cannot be taken.
    void look_at_parts();
    /// Whether the former backup was packed as a new one would be.
    bool same_packing();
    /// Something that is in the cluster now.
    void meet(const WalkedEntry& entry);
    /// The parts of which all is unchanged, by their names.
    std::vector<std::string> unchanged() const;

private:
    struct Part {
        std::string tar, new_tar; ///< new_tar: once it was taken
        std::uint64_t listed = 0, unchanged = 0;
        std::uint64_t plain_bytes = 0, stored_bytes = 0;
        bool there = false;
    };
    struct Member {
        ParentFiles::Name name;
        std::uint32_t part;
        bool folder = false;
    };

    std::span<Member> members_of(const ParentFiles::Name& name);
    std::span<const Member> members_of(const ParentFiles::Name& name) const;
    void parse(archive::FilesMetadataReader::Callbacks callbacks);
    std::uint32_t number_of(std::string_view tar);
    bool is_unchanged(const Part& part) const;
    bool noted_well(const archive::FileDescription& file) const;
    bool made_by_us() const { return full_.sentinel().data_checksums.has_value(); }
    storage::ObjectKey key_of(const Part& part) const;
    std::vector<Part*> copy_all(UploadRoom& room, const PartsOptions& parts, unsigned at_once);
    std::string reason_not_copied(UploadRoom& room, const Part& part, const storage::ObjectKey& to) const;
    void note_files(const CopySource& source, FilesSpool& files, const PartsOptions& parts, PartsResult& result);

    archive::Archive archive_; ///< of several storages the one that new backups go to
    DeltaParent full_;         ///< a chain of one
    std::stop_token stop_;
    TextSpool document_;
    ParentFiles files_;
    bool has_root_ = false; ///< else the server sent the files, under other names
    std::vector<Part> parts_;
    std::map<std::string, std::uint32_t, std::less<>> numbers_;
    std::vector<Member> members_; ///< sorted by name
    std::optional<TarObject> control_;
};

} // namespace walgd::backup
