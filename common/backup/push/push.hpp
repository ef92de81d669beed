#pragma once
#include "common/archive/documents.hpp"
#include "common/backup/push/backup_push.hpp"
#include "common/backup/push/files_spool.hpp"
#include "common/backup/push/intent.hpp"
#include "common/backup/push/object_upload.hpp"
#include "common/backup/push/parts.hpp"

#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

namespace walgd::backup {

/// One base backup being taken, step by step: what is the same whether we read the server's files or the server sends them.
class Push {
public:
    Push(archive::Archive& archive, const PushOptions& options, Progress& progress, std::stop_token stop);
    virtual ~Push();
    Push(const Push&) = delete;

    PushResult run();

protected:
    // The steps, in this order. In all of them server_ is connected and facts_ are known.

    /// Everything that can be refused before the server starts a backup; calls enter().
    virtual void prepare() = 0;
    /// Puts the server into backup mode; sets name_, start_ and spec_.
    virtual void start() = 0;
    /// Stores all tars, but for those of stop().
    virtual void copy() = 0;
    /// Ends backup mode; sets finish_lsn_.
    virtual void stop() = 0;
    /// Just before the sentinel: throws when what was stored cannot be restored any more.
    virtual void confirm() {}
    /// After a failure: out of backup mode.
    virtual void abandon() { server_.reset(); }
    virtual void describe(archive::Sentinel&) const {}
    virtual void describe(PushResult&) const {}

    /// Error(refused) when the archive is another system's, or when a backup of the cluster is being taken. Removes what killed
    /// runs of `intent_place` left. `subject`: what the archive is asked for, for its error.
    void enter(const std::string& subject, std::string intent_place);
    void add(const PartsResult& part);
    bool is_catchup() const { return options_.catchup_from.has_value(); }
    /// What a part may have, of a backup of `total` bytes.
    std::uint64_t part_bytes(std::uint64_t total) const;

    archive::Archive& archive_;
    const PushOptions& options_;
    Progress& progress_;
    std::stop_token stop_;
    std::string_view folder_; ///< of the archive, for this kind of backup
    MemoryBudget places_;
    StoredObjects stored_;
    UploadRoom room_;
    FilesSpool files_;
    std::unique_ptr<pg::Server> server_;
    pg::ServerFacts facts_;
    pg::BackupStart start_;
    pg::Lsn finish_lsn_{0};
    std::optional<archive::TablespaceSpec> spec_;
    std::string name_;
    Time started_{};
    PartsResult sum_;

private:
    std::string backup_from_the_future();
    void require_own_archive(const std::string& subject);
    Intent intent() const { return {name_, host_, intent_place_, std::string(folder_), facts_.life}; }
    /// False: a session, in whatever database, takes a backup of the cluster.
    bool take_cluster();
    void finish();
    std::map<std::string, std::string> database_places();
    void require_no_moved_database();
    void wait_for_last_wal();
    void count_journal();
    void put_document(const storage::ObjectKey& key, const std::string& text);
    archive::BackupMetadata metadata() const;
    archive::Sentinel sentinel() const;
    [[noreturn]] void rethrow_cleaned_up(const Error& error);

    std::string host_, intent_place_, user_data_;
    std::map<std::string, std::string> places_at_start_; ///< of databases: oid to tablespace
    Time finished_{};
};

/// The server sends its files (BASE_BACKUP).
std::unique_ptr<Push> make_remote_push(archive::Archive& archive, const PushOptions& options, Progress& progress,
                                       std::stop_token stop);

} // namespace walgd::backup
